"""Whether a command is for several hosts: asked first, and answered without what plans over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.recipes.stack import LoadedStack


def for_hosts(world: World, names: Sequence[str]) -> LoadedStack | None:
    """Return the one stack that is named and lists its hosts; None: what is named is for one machine.

    Raises:
        InputError: something is wrong with the stack, or such a stack is named with others, or one host was named.
    """
    stacks = [world.catalog.stack(name) for name in names if world.catalog.knows_stack(name)]
    found = [one for one in stacks if one.stack.hosts]
    if found and len(names) > 1:
        message = f"{found[0].name} lists its hosts, and cannot be planned together with what this machine runs"
        raise InputError(message, hint=f"name it alone: sparkctl plan {found[0].name}")
    if found:
        refuse_one_host(world, found[0].name)
    return found[0] if found else None


def refuse_one_host(world: World, what: str) -> None:
    """Refuse what is for several hosts where one was named.

    Raises:
        InputError: one was.
    """
    if world.on:
        message = f"{what} is for several hosts, and --host names {world.on} alone"
        raise InputError(message, hint="leave --host out")
