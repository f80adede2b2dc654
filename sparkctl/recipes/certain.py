"""Whether a command is certain to be valid, so that it need not be made in order to know that. Pure.

The shipped templates render for every recipe; a test checks that. This module checks what `docker run` may refuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.recipes.service import Inputs

_TAKEN: Final = frozenset({None, "host", "none"})
"""Words that docker accepts both after --ipc and after --network; its grammar has to judge other words."""
_LONGEST: Final = 16_384
"""Characters of everything that an operator writes: far below every bound of rendering (``recipes.sandbox``)."""
_LARGEST: Final = 2**40
"""Bytes of --shm-size: below what docker's float64 counts exactly."""


def is_certain(inputs: Inputs) -> bool:
    """Return whether a service's command can be made later, because template and docker can refuse nothing.

    False if that is not known.
    """
    setup, host = inputs.recipe.container, inputs.host
    judged = setup.ulimits or setup.devices or setup.capabilities or setup.mounts or isinstance(setup.caches, str)
    taken = {setup.ipc, setup.network} <= _TAKEN and (setup.shm_size or 0) < _LARGEST
    if not inputs.template.shipped or judged or not taken or inputs.recipe.gpus.startswith("cdi:"):
        return False
    written = list(_written(inputs))
    compiled = "" if host.compiled is None else str(host.compiled.source)
    return ":" not in compiled and sum(map(len, written)) < _LONGEST and all(map(str.isprintable, written))


def _written(inputs: Inputs) -> Iterator[str]:
    """Yield everything that an operator wrote, and what is on their disks, as text."""
    recipe, host = inputs.recipe, inputs.host
    yield from (str(one) for pair in (*host.args.items(), *host.env.items()) for one in pair)
    yield from (str(mount.source) + mount.target for mount in host.mounts)
    yield from (str(mod.source) + mod.target for mod in inputs.mods)
    yield from (*recipe.serve.aliases, recipe.serve.name, str(inputs.operator.state))
    yield from filter(None, (recipe.container.user, recipe.container.runtime, recipe.container.entrypoint))
    yield str(recipe.speculative)
