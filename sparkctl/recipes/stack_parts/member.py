"""A service that is wanted, of a stack or of its own. No stack's declaration is needed to know one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import InputError, Problem

if TYPE_CHECKING:
    from sparkctl.base.errors import Place
    from sparkctl.recipes.catalog import LoadedRecipe
    from sparkctl.recipes.layers import Override

API_KEY: Final = "VLLM_API_KEY"
OF_GATEWAY: Final = frozenset({f'secrets+=["{API_KEY}"]', "serve.own-key=true"})
"""What a stack with a gateway lays over each service, as ``--set`` takes it: a key of its own."""

_SERVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]+")
"""The names that Docker accepts for a container."""


def refuse_unservable(name: str) -> None:
    """Refuse a name that no service can have.

    Raises:
        InputError: it is a base's, or no container can have it.
    """
    if name.startswith("_"):
        message = f"{name!r} is a base to extend, not a recipe to serve"
        raise InputError(message, hint="`sparkctl recipes` lists those to serve")
    if not _SERVICE.fullmatch(name):
        message = f"{name!r} cannot be the name of a container"
        raise InputError(message, hint="it is two or more letters, digits, _ . -, beginning with a letter or a digit")


class Member(NamedTuple):
    """A service that is wanted: its name, its recipe, what its stack lays over it, and the name that asked for it.

    ``stack`` is the stack's name, "" for a service of its own; ``place`` is where this names the recipe. ``after`` are
    the services of the stack that have to be ready before it starts. ``oom_score_adj`` follows from its priority, for a
    recipe that says none.
    """

    service: str
    recipe: str
    priority: int = 0
    overrides: tuple[str | Override, ...] = ()
    asked: str = ""
    stack: str = ""
    after: tuple[str, ...] = ()
    oom_score_adj: int | None = None
    place: Place | None = None


def restarted_by_docker(member: Member, loaded: LoadedRecipe) -> Problem | None:
    """Return why a service of a stack may not have a recipe's restart policy, None where it may.

    Two that start the same container fight: 35 starts by ``unless-stopped`` leaked the driver's memory until sshd died
    (eugr/spark-vllm-docker#257).
    """
    policy = loaded.recipe.container.restart
    if not member.stack or policy == "no":
        return None
    written = loaded.document.node(("container", "restart")).place
    here = member.place is not None and written.file == member.place.file
    told = "" if here else f" ({written})"
    message = (
        f"{member.service}: container.restart is {policy}{told}: Docker would start it again, unplanned and unproved"
    )
    hint = "a service of a stack is started again by `restart:` of the stack: write set: {container.restart: no}"
    return Problem(message, written if here else member.place, hint)
