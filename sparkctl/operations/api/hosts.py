"""What the Python API does over several hosts, with a stack or with one service; ``Spark`` has these methods, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError
from sparkctl.base.lazy import LazyModule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.groups import by_name
    from sparkctl.operations.groups import logs as group_logs
    from sparkctl.operations.groups.kept import KeptGroup
    from sparkctl.operations.memory import asked_set
    from sparkctl.operations.stack import apply as applying
    from sparkctl.operations.stack.over_hosts import apply as on_hosts
    from sparkctl.operations.stack.over_hosts import asked
    from sparkctl.operations.stack.over_hosts import diff as differing
    from sparkctl.operations.stack.over_hosts import plan as planning
    from sparkctl.operations.stack.over_hosts.apply import AppliedHosts
    from sparkctl.operations.stack.over_hosts.diff import HostsDiff
    from sparkctl.operations.stack.over_hosts.placing import PlacedStack
    from sparkctl.recipes.service import Service
    from sparkctl.recipes.stack import LoadedStack
else:
    applying = LazyModule("sparkctl.operations.stack.apply")
    by_name = LazyModule("sparkctl.operations.groups.by_name")
    asked_set = LazyModule("sparkctl.operations.memory.asked_set")
    group_logs = LazyModule("sparkctl.operations.groups.logs")
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

    def up_on_hosts(
        self,
        name: str,
        hosts: Sequence[str],
        overrides: Sequence[str] = (),
        *,
        replace: bool = False,
        named: str | None = None,
    ) -> list[Service]:
        """Start one recipe with ``nodes`` over hosts as one service, and prove it; return its ranks' services.

        Args:
            name: a recipe.
            hosts: names of hosts.yaml by rank, the head first.
            overrides: ``PATH=VALUE``, as for ``up``.
            replace: stop all of it and start it again where it runs otherwise.
            named: the service's name in place of its recipe's.

        Raises:
            InputError, DoesNotFitError, EngineError: nothing was started.
            NotReadyError, ModError, CheckError, WaitInterruptedError: all its ranks are ended.
        """
        asking = asked_set.AskedSet((name,), tuple(overrides), replace=replace, named=named)
        return by_name.up(self._world, hosts, asking)

    def restart_on_hosts(self, name: str) -> list[Service]:
        """Stop all ranks of a service over several hosts, start them again, and prove it.

        Raises:
            InputError: there is none of this name, or it is half of one.
            DoesNotFitError, EngineError, NotReadyError, ModError, CheckError, WaitInterruptedError: as for
                ``up_on_hosts``.
        """
        return by_name.restart(self._world, self._group(name))

    def down_on_hosts(self, name: str) -> None:
        """Stop and remove all ranks of a service over several hosts.

        Raises:
            InputError: there is none of this name.
            EngineError: a host is not reached: its rank may still run, and all others are ended.
        """
        by_name.down(self._world, self._group(name))

    def logs_on_hosts(self, name: str, *, rank: int | None = None, tail: int | None = None) -> list[str]:
        """Return the log of one rank, or of all by time, each line after its rank.

        Args:
            name: the service.
            rank: of this rank alone; None: of all.
            tail: so many lines of each at most; None: all.

        Raises:
            InputError: there is none of this name, or no such rank.
            EngineError: no host is reached.
        """
        return group_logs.logs_of(self._world, self._group(name), rank=rank, tail=tail)

    def _group(self, name: str) -> KeptGroup:
        found = by_name.parted(self._world, [name]).groups
        if name not in found:
            raise InputError(f"{name} is no service over several hosts", hint="up_on_hosts starts one")
        return found[name]

    def _on_hosts(self, stack: str) -> LoadedStack:
        found = asked.for_hosts(self._world, [stack])
        if found is None:
            raise InputError(f"{stack} is no stack that lists its hosts", hint="hosts: [NAME, NAME] in its file")
        return found
