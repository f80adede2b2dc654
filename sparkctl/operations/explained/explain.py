"""Why a service's command has its words: where each comes from, what it does, costs, and is known to hurt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError
from sparkctl.recipes.explained.explanation import explained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.recipes.explained.explanation import Explained
    from sparkctl.recipes.located import Located


def explain(
    world: World,
    name: str,
    subject: str | None = None,
    overrides: Sequence[str] = (),
    *,
    strict: bool = False,
    named: str | None = None,
) -> Explained:
    """Return the explanation of a service's command; no engine, image or Spark is needed.

    ``name`` is a recipe's, or that of a stack's service; ``subject`` a flag, a variable or a key of the recipe, None
    for every word. ``overrides``, ``strict`` and ``named`` are as for ``render``.

    Raises:
        InputError: a file that cannot be used, a name that is none or a stack's, or a subject that nothing has.
    """
    loader = world.loader(world.disk_models)
    located = loader.located([name], overrides, strict=strict, named=named)
    if len(located) > 1:
        names = " ".join(one.member.service for one in located)
        raise InputError(f"{name} is a stack of {len(located)} services", hint=f"explain one of its services: {names}")
    (service,) = world.services(loader, located)
    return explained(service, subject, _stack_files(located[0]))


def _stack_files(one: Located) -> frozenset[str]:
    """Return the files in which a stack lays something over a service's recipe."""
    laid = [override for override in one.member.overrides if not isinstance(override, str)]
    return frozenset(node.place.file for override in laid for _, node in override.node.walk())
