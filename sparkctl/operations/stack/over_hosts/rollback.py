"""What was applied over several hosts before the last time, brought back on all of them: the same commands and images.

Each host has its own generations; those of one apply have the same digest of the whole.
"""

from __future__ import annotations

from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import EngineError, InputError
from sparkctl.operations import deployed
from sparkctl.operations.hosts import listed
from sparkctl.operations.hosts.connections import opened, with_records_of
from sparkctl.operations.hosts.told import HostReport, said_of_host
from sparkctl.operations.stack import generation_changes, history
from sparkctl.operations.stack import rollback as one_host
from sparkctl.operations.stack.generations import Generations
from sparkctl.operations.stack.one_at_a_time import Effect
from sparkctl.operations.stack.over_hosts.acting import AllHosts, HostEffect
from sparkctl.operations.stack.resolved import who
from sparkctl.planning.box.generation import KeptGeneration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.stack.generation_changes import ServiceChange
    from sparkctl.operations.stack.history import PastApply
    from sparkctl.operations.stack.over_hosts.acting import DoneOnHosts
    from sparkctl.planning.box.generation import KeptService


class HostBack(NamedTuple):
    """What is brought back on one host. ``changes`` are how the services there differ, and ``goes`` those that end."""

    name: str
    effect: HostEffect
    changes: tuple[ServiceChange, ...]

    def at(self, epoch: float) -> HostBack:
        """Return the same at a time by the operator's own clock: those of hosts may differ by hours."""
        of = self.effect.effect
        effect = of._replace(generation=replace(of.generation, at=epoch))
        return self._replace(effect=self.effect._replace(effect=effect))

    @property
    def goes(self) -> tuple[str, ...]:
        """The services that end there."""
        return tuple(self.effect.effect.goes)


class RestoringHosts(NamedTuple):
    """What is ready to be brought back: ``back`` is one host's generation of it, and ``now`` of what is in effect."""

    now: KeptGeneration
    back: KeptGeneration
    hosts: tuple[HostBack, ...]


def histories(world: World) -> dict[str, list[PastApply]]:
    """Return what this operator applied to each declared host, the first one first; no host is asked.

    Raises:
        InputError: no hosts are declared, or what is kept cannot be read.
    """
    return {name: history.history(of) for name, of in _kept(world).items()}


def _kept(world: World) -> dict[str, World]:
    """Return worlds with the records of each declared host."""
    declared = listed.hosts(world).some()
    return {name: world if one.here else with_records_of(world, name) for name, one in declared.items()}


@contextmanager
def prepared(world: World, *, prune: bool = False, pull: bool = True) -> Iterator[RestoringHosts]:
    """Open the hosts of the last apply over several, and say what is brought back: the one before that.

    Without ``pull`` no image is fetched. With ``prune`` services that came later are removed.

    Raises:
        InputError: there is none before it, or as for ``rollback`` of one host.
        EngineError: a host that has a part of it does not answer.
    """
    kept = {name: Generations(of).all_applied() for name, of in _kept(world).items()}
    now, back = before_last(kept)
    parts = [host for host, every in kept.items() if _last(every, now.whole) or _last(every, back.whole)]
    declared = listed.hosts(world).hosts
    with opened(world, {name: declared[name] for name in parts}) as hosts:
        found = []
        for host in hosts:
            if host.world is None:
                why = "" if host.error is None else f": {host.error.message}"
                raise EngineError(f"{host.name} has a part of it, and does not answer{why}", hint="nothing was touched")
            there = copy(host.world)
            there.report = HostReport(host.name, world.report)
            with said_of_host(host.name):
                one = _on(host.name, there, kept, (now, back), prune=prune, pull=pull)
            found.append(one.at(world.clock.epoch()))
        yield RestoringHosts(now, back, tuple(found))


def before_last(kept: Mapping[str, Sequence[KeptGeneration]]) -> tuple[KeptGeneration, KeptGeneration]:
    """Return what was applied over several hosts last, and what before that; each as one of its hosts has it.

    Raises:
        InputError: there is no such apply, or none before it.
    """
    every = sorted((one for of_host in kept.values() for one in of_host if one.whole), key=lambda one: one.at)
    if not every:
        raise InputError("nothing was applied over several hosts yet", hint="sparkctl apply STACK")
    now = every[-1]
    earlier = [one for one in every if one.whole != now.whole]
    if not earlier:
        raise InputError(f"{now.stack} was applied once over its hosts: there is nothing to go back to")
    return now, earlier[-1]


def _last(every: Sequence[KeptGeneration], whole: str) -> KeptGeneration | None:
    return next((one for one in reversed(every) if one.whole == whole), None)


def _on(
    name: str,
    world: World,
    kept: Mapping[str, Sequence[KeptGeneration]],
    of: tuple[KeptGeneration, KeptGeneration],
    *,
    prune: bool,
    pull: bool,
) -> HostBack:
    """Return what is brought back on one host; what it has and another one had then ends there in any case."""
    now, back = of
    wanted = {service.name for every in kept.values() for service in _services(every, back.whole)}
    mine = _last(kept[name], back.whole)
    there = [service for service, one in deployed.services(world.engine) if one.name == service]
    if mine is None:
        empty = KeptGeneration(0, back.stack, back.file, 0.0, who(world), services=(), whole=back.whole)
        had = {service.name for service in _services(kept[name], now.whole)}
        goes = [service for service in there if service in had and (prune or service in wanted)]
        before = kept[name][-1] if kept[name] else None
        return HostBack(
            name, HostEffect(world, Effect((), empty, goes)), tuple(generation_changes.changes(before, empty))
        )
    restoring = one_host.prepared(world, mine.number, prune=prune, pull=pull)
    own = {service.name for service in mine.services}
    goes = [service for service in there if service in wanted - own or service in restoring.effect.goes]
    generation = replace(restoring.effect.generation, whole=back.whole)
    return HostBack(name, HostEffect(world, Effect(restoring.effect.services, generation, goes)), restoring.changes)


def _services(every: Sequence[KeptGeneration], whole: str) -> Sequence[KeptService]:
    found = _last(every, whole)
    return () if found is None else found.services


def carried_out(ready: RestoringHosts) -> DoneOnHosts:
    """Bring back on all hosts what was prepared, as new generations; what fails is undone on each.

    Raises:
        SparkctlError: as for ``AllHosts.put_into_effect``.
    """
    after = {
        service.name: service.declared.after for one in ready.hosts for service in one.effect.effect.generation.services
    }
    return AllHosts({one.name: one.effect for one in ready.hosts}, after).put_into_effect()
