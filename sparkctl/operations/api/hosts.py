"""What the Python API does with a stack that lists its hosts; ``Spark`` has these methods beside its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError
from sparkctl.base.lazy import LazyModule

if TYPE_CHECKING:
    from sparkctl.operations.context import World
    from sparkctl.operations.stack import apply as applying
    from sparkctl.operations.stack.over_hosts import apply as on_hosts
    from sparkctl.operations.stack.over_hosts import asked
    from sparkctl.operations.stack.over_hosts import diff as differing
    from sparkctl.operations.stack.over_hosts import plan as planning
    from sparkctl.operations.stack.over_hosts.apply import AppliedHosts
    from sparkctl.operations.stack.over_hosts.diff import HostsDiff
    from sparkctl.operations.stack.over_hosts.placing import PlacedStack
    from sparkctl.recipes.stack import LoadedStack
else:
    applying = LazyModule("sparkctl.operations.stack.apply")
    asked = LazyModule("sparkctl.operations.stack.over_hosts.asked")
    differing = LazyModule("sparkctl.operations.stack.over_hosts.diff")
    on_hosts = LazyModule("sparkctl.operations.stack.over_hosts.apply")
    planning = LazyModule("sparkctl.operations.stack.over_hosts.plan")


class HostMethods:
    """The methods of a Spark that are about several hosts."""

    def __init__(self, world: World) -> None:
        self._world = world

    def plan_on_hosts(self, stack: str) -> PlacedStack:
        """Return which host runs what of a stack that lists its hosts. Touches nothing.

        That a service has no place is no error: ``fits`` of the result is False.

        Args:
            stack: a stack.

        Raises:
            InputError: it lists none, one is not declared, or a file cannot be used.
            EngineError: no host answered.
        """
        return planning.plan_over_hosts(self._world, self._on_hosts(stack))

    def diff_on_hosts(self, stack: str, *, mods: bool = False) -> HostsDiff:
        """Return how a stack that lists its hosts, what was applied, and what runs differ on each of them.

        Args:
            stack: a stack.
            mods: ask the containers whether their mods are in them still.

        Raises:
            InputError, EngineError: as for ``plan_on_hosts``.
        """
        return differing.diff_over_hosts(self._world, self._on_hosts(stack), mods=mods)

    def apply_on_hosts(self, stack: str, *, prune: bool = False, locked: bool = False) -> AppliedHosts:
        """Make a stack so on all the hosts that it lists and that answer, or on none.

        Args:
            stack: a stack.
            prune: stop and remove what was applied and is declared no more.
            locked: refuse what differs from the stack's lock.

        Raises:
            DoesNotFitError: a service has no host; nothing was touched.
            InputError: as for ``apply``; nothing was touched.
            EngineError, ModError, NotReadyError, CheckError: as for ``up``; what was changed is undone on each host. Or
                (EngineError) a host that has services of it did not answer, and the others are as declared.
        """
        options = applying.ApplyOptions(prune=prune, locked=locked)
        with on_hosts.prepared(self._world, self._on_hosts(stack), options) as ready:
            done = on_hosts.carried_out(ready)
        on_hosts.refuse_unseen(ready)
        return done

    def _on_hosts(self, stack: str) -> LoadedStack:
        found = asked.for_hosts(self._world, [stack])
        if found is None:
            raise InputError(f"{stack} is no stack that lists its hosts", hint="hosts: [NAME, NAME] in its file")
        return found
