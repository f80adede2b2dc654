"""The groups of a stack: services that several of its hosts share, started and ended as one."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from sparkctl.operations import deployed
from sparkctl.operations.groups import kept
from sparkctl.operations.groups.hands import hands_of
from sparkctl.operations.groups.proof.wait import ended
from sparkctl.operations.groups.ranks import port_of, rendered_of, services_of
from sparkctl.operations.groups.start import differing, start_group
from sparkctl.operations.hosts.connections import HostWay
from sparkctl.operations.hosts.told import HostReport
from sparkctl.operations.memory.asked_set import AskedSet
from sparkctl.operations.stack.lock.stack_lock import require
from sparkctl.operations.stack.over_hosts.look import world_of_part
from sparkctl.operations.stack.over_hosts.placing import PlacedAction
from sparkctl.operations.stack.resolved import declared
from sparkctl.operations.start.aside import STOP_GRACE_S
from sparkctl.recipes.hosts.part import word_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.hosts.connections import OpenHost
    from sparkctl.operations.stack.over_hosts.placing import PlacedStack

_STARTS = {PlacedAction.STARTS, PlacedAction.MOVES, PlacedAction.RUNS}


class StackGroups:
    """The groups of a placed stack, on hosts that answer; ``world`` is this machine's, which keeps them in mind."""

    def __init__(self, world: World, found: PlacedStack) -> None:
        self._world = world
        self._found = found
        self._hosts = {one.name: _of(world, one.host) for one in found.hosts if one.host.world is not None}
        self.names = tuple(name for name in found.groups if found.action(name) in _STARTS)
        self.started: list[str] = []

    def check(self, *, locked: bool = False) -> None:
        """Make sure of what can be known before anything is started: models, secrets and the fabric of each host.

        ``locked`` refuses a rank that differs from the stack's lock.

        Raises:
            InputError, EngineError: as for ``services_of``, and for ``require`` of a lock.
        """
        stack = self._found.stack
        for name in self.names:
            hosts = self._of(name)
            services = services_of(hosts, self._asked(name), port_of(hosts, name))
            for host, service in zip(hosts, services, strict=True) if locked else ():
                others = [one for one in self._found.wanted if one != name]
                require(world_of_part(host.world, stack, [name]), word_of(stack), [service], others)

    def differing(self, name: str) -> list[str]:
        """Return in what each rank of a group that runs differs from what is declared; nothing is fetched for it.

        Raises:
            InputError, EngineError: as for ``rendered_of``, and an engine does not answer.
        """
        hosts = self._of(name)
        services = rendered_of(hosts, self._asked(name), port_of(hosts, name))
        ranks = [hands_of(host, service) for host, service in zip(hosts, services, strict=True)]
        return differing([one._replace(service=one.planner.expected([one.service])[0]) for one in ranks])

    def head(self, name: str) -> str:
        """Return the host of a group's head."""
        return self._found.placement.where[name][0]

    def start(self, name: str) -> bool:
        """Start a group where it has its place, or leave it as it is there; return whether it was started.

        One that has another place than before ends there first, since a host may have a rank of both.

        Raises:
            InputError, DoesNotFitError, EngineError, NotReadyError, ModError, CheckError, WaitInterruptedError: as for
                ``start_group``.
        """
        hosts, before = self._of(name), self._ids(name)
        old = [self._hosts[host] for host in self._before(name) if host in self._hosts]
        if old:
            ended(self._world, old, name, grace_s=STOP_GRACE_S)
        bounds = declared(self._found.stack)[name].restarts
        start_group(self._world, hosts, self._asked(name), restarts=bounds)
        if self._ids(name) == before:
            return False
        self.started.append(name)
        return True

    def undo(self) -> list[str]:
        """End the groups that were started, the last first, and return a sentence for each."""
        told = []
        for name in reversed(self.started):
            whole = ended(self._world, self._of(name), name, grace_s=0.0)
            told.append(f"{name}: its ranks are ended" if whole else f"{name}: a rank may still run")
        return told

    def forget(self) -> None:
        """Forget groups of which no rank is left on any host: they were removed, and nobody is to start them again."""
        for name, one in kept.kept(self._world).items():
            hosts = [self._hosts[host] for host in one.hosts if host in self._hosts]
            if name in self._undeclared and len(hosts) == len(one.hosts) and not any(self._there(hosts, name)):
                kept.forget(self._world, name)

    def _before(self, name: str) -> tuple[str, ...]:
        """Return the hosts of a group that ends before it starts where it has its place now.

        They are those on which it runs, and those on which a command that was killed had begun to end it.
        """
        if self._found.action(name) is PlacedAction.MOVES:
            return tuple(self._found.at[name])
        one = kept.kept(self._world).get(name)
        return () if one is None or one.hosts == tuple(self._found.placement.where[name]) else one.hosts

    @property
    def _undeclared(self) -> set[str]:
        return {name for one in self._found.hosts if one.seen is not None for name in one.seen.undeclared}

    def _of(self, name: str) -> list[HostWay]:
        return [self._hosts[host] for host in self._found.placement.where[name]]

    def _asked(self, name: str) -> AskedSet:
        return AskedSet((f"{word_of(self._found.stack)}:{name}",), replace=True)

    def _ids(self, name: str) -> list[str]:
        return [*self._there(self._of(name), name)]

    def _there(self, hosts: Sequence[HostWay], name: str) -> list[str]:
        found = [deployed.find(host.world.engine, name) for host in hosts]
        return [one.id for one in found if one is not None]


def _of(world: World, host: OpenHost) -> HostWay:
    assert host.world is not None, "it answered"  # noqa: S101  (for the type)
    own = copy(host.world)
    own.report = HostReport(host.name, world.report)
    return HostWay(host.name, host.declared, own, host.reached, host.facts)
