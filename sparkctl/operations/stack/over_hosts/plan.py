"""One plan over several hosts: of a stack that lists its hosts, or of recipes over all that are declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import DoesNotFitError, InputError
from sparkctl.operations.hosts import listed
from sparkctl.operations.hosts.connections import opened
from sparkctl.operations.stack.over_hosts.asked import refuse_one_host
from sparkctl.operations.stack.over_hosts.placing import declared_hosts, placed
from sparkctl.recipes.hosts.part import stack_of_recipes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.stack.over_hosts.placing import PlacedStack
    from sparkctl.recipes.stack import LoadedStack


class StackHasNoPlaceError(DoesNotFitError):
    """Not each service of a stack has a host; ``placed`` says which have one."""

    def __init__(self, placed: PlacedStack) -> None:
        hint = "make room, make a service smaller (set: of it), or add a host to `hosts`"
        super().__init__("\n".join(map(str, placed.placement.refused)), hint=hint)
        self.placed = placed


def over_all(world: World, names: Sequence[str]) -> LoadedStack:
    """Return what is named as a stack for all declared hosts: the one stack, or recipes, each a service.

    Raises:
        InputError: no hosts are declared, a name that is none, or a stack among other names.
    """
    refuse_one_host(world, "--all-hosts")
    hosts = tuple(listed.hosts(world).some())
    stacks = [name for name in names if world.catalog.knows_stack(name)]
    if stacks and len(names) > 1:
        message = f"{stacks[0]} is a stack: over all hosts one stack is planned, or recipes are"
        raise InputError(message, hint=f"name it alone: sparkctl plan {stacks[0]} --all-hosts")
    if not stacks:
        return stack_of_recipes(world.catalog, names, hosts)
    loaded = world.catalog.stack(stacks[0])
    return loaded._replace(stack=loaded.stack.model_copy(update={"hosts": hosts}))


def plan_over_hosts(world: World, stack: LoadedStack) -> PlacedStack:
    """Return which host runs what of a stack. Touches nothing.

    Raises:
        InputError: a host that is not declared, two names of one machine, or a file that cannot be used.
        EngineError: no host answered.
    """
    with opened(world, declared_hosts(world, stack)) as hosts:
        return placed(world, stack, hosts)
