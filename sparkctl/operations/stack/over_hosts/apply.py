"""Makes a stack so on several hosts: placed, admitted on each host, and put into effect on all of them or on none.

Each host has its own generation, with a digest of the whole. All of them are kept before the first change, so that what
a killed command leaves is found on each host, and finished by the next apply. What is started comes before what ends
for it on another host. What fails is undone on every host.
"""

from __future__ import annotations

from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import EngineError, InputError, SparkctlError, WaitInterruptedError
from sparkctl.operations.hosts.connections import opened
from sparkctl.operations.hosts.told import HostReport, said_of_host
from sparkctl.operations.stack import apply as one_host
from sparkctl.operations.stack import effect
from sparkctl.operations.stack.generations import Generations
from sparkctl.operations.stack.over_hosts.acting import AllHosts, HostEffect, alone_on_all
from sparkctl.operations.stack.over_hosts.diff import alone_on, without_moved
from sparkctl.operations.stack.over_hosts.groups import StackGroups
from sparkctl.operations.stack.over_hosts.look import world_of_part
from sparkctl.operations.stack.over_hosts.placing import declared_hosts, placed
from sparkctl.operations.stack.over_hosts.plan import StackHasNoPlaceError
from sparkctl.recipes.hosts.part import word_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.operations.context import World
    from sparkctl.operations.stack.apply import ApplyOptions, Prepared
    from sparkctl.operations.stack.over_hosts.placing import PlacedHost, PlacedStack
    from sparkctl.planning.box.apply.over_hosts import HostAct
    from sparkctl.planning.box.generation import KeptGeneration
    from sparkctl.recipes.stack import LoadedStack


class HostPart(NamedTuple):
    """A host's part of a stack, ready to be put into effect; ``world`` knows the stack as that part alone."""

    name: str
    world: World
    ready: Prepared


class PreparedHosts(NamedTuple):
    """A stack that is ready to be put into effect on its hosts. ``unseen`` are those that do not answer."""

    placed: PlacedStack
    parts: tuple[HostPart, ...]
    groups: StackGroups
    unseen: tuple[str, ...] = ()

    @property
    def as_declared(self) -> bool:
        """Whether there is nothing to do on any host that answers, but for what groups may differ in."""
        return all(one_host.nothing_to_do(one.world, one.ready) for one in self.parts)


class AppliedHosts(NamedTuple):
    """What an apply came to: each host's generation, and what was done. ``already``: nothing had to be."""

    generations: Mapping[str, KeptGeneration]
    acts: tuple[HostAct, ...] = ()
    already: bool = False


@contextmanager
def prepared(world: World, stack: LoadedStack, options: ApplyOptions) -> Iterator[PreparedHosts]:
    """Open the hosts of a stack, place it, and say for each host what would be done. Images may be fetched.

    Raises:
        StackHasNoPlaceError: a service has no host; nothing was touched.
        InputError, EngineError: as for ``placed``, and on each host as for ``apply`` of one.
    """
    with opened(world, declared_hosts(world, stack)) as hosts:
        found = placed(world, stack, hosts)
        if not found.fits:
            raise StackHasNoPlaceError(found)
        if not options.dry_run:
            _refuse_absent(found)
        parts = []
        for one in sorted(found.hosts, key=lambda one: one.name):
            if one.seen is not None and _has_part(one, stack):
                with said_of_host(one.name):
                    parts.append(_part(world, found, one, options))
        unseen = tuple(one.name for one in found.hosts if one.seen is None)
        groups = StackGroups(world, found)
        if not options.dry_run:
            groups.check(locked=options.locked)
        yield PreparedHosts(found, tuple(parts), groups, unseen)


def _refuse_absent(found: PlacedStack) -> None:
    """Refuse services whose models are not where they are to run: their hosts would fetch them unseen.

    Raises:
        InputError: which, where, and the commands that bring them there.
    """
    absent = found.absent
    if absent:
        told = [f"{host}: the model of {name} is not there" for host, names in absent.items() for name in names]
        ways = [found.bringing(host, names) for host, names in absent.items()]
        raise InputError("\n".join(told), hint="    ".join(ways))


def _has_part(one: PlacedHost, stack: LoadedStack) -> bool:
    """Return whether a host runs a part of the stack, or had one."""
    if one.services or one.leaves or one.seen is None or one.seen.undeclared or one.host.world is None:
        return True
    applied = Generations(one.host.world).applied()
    return applied is not None and applied.stack == stack.name and bool(applied.services)


def _part(world: World, found: PlacedStack, one: PlacedHost, options: ApplyOptions) -> HostPart:
    there = one.host.world
    assert there is not None, "it answered"  # noqa: S101  (for the type)
    part = copy(world_of_part(there, found.stack, alone_on(found, one), gateway=one.host.here))
    part.report = HostReport(one.name, world.report)
    goes = tuple(name for name in one.leaves if name not in found.groups)
    mine = alone_on(found, one)
    elsewhere = tuple(name for name in found.wanted if name not in mine)
    own = replace(options, goes=goes, whole=found.whole, elsewhere=elsewhere, at=world.clock.epoch())
    ready = one_host.prepared(part, word_of(found.stack), own)
    others = (*one.leaves, *found.groups)
    return HostPart(one.name, part, replace(ready, diff=without_moved(ready.diff, others)))


def carried_out(ready: PreparedHosts) -> AppliedHosts:
    """Put a stack into effect on all hosts that answer, unless there is nothing to do.

    Other commands that put a stack into effect on one of them are kept out; they are asked in the order of their names.

    Raises:
        StackRefusedError, InputError: as for one host; nothing was touched.
        EngineError, ModError, NotReadyError, CheckError: a service is not as it has to be, or a host was lost. The
            message says how each host is: what was changed is undone where that can be done.
        WaitInterruptedError: the operator stopped waiting; what was changed stays.
    """
    applied = {one.name: one.ready.diff.applied for one in ready.parts}
    now = AppliedHosts({name: one for name, one in applied.items() if one is not None}, already=True)
    if ready.as_declared and not ready.groups.names:
        return now
    effects = {one.name: HostEffect(one.world, one.ready.effect) for one in ready.parts}
    if ready.as_declared:
        with alone_on_all(effects):
            _started(ready.groups)
        return now._replace(already=not ready.groups.started)
    after = {name: one.after for name, one in ready.placed.stack.stack.services.items()}
    return AppliedHosts(*AllHosts(effects, after, ready.groups).put_into_effect())


def _started(groups: StackGroups) -> None:
    """Start groups where all else is as declared; where one fails, those that were started end."""
    try:
        for name in groups.names:
            groups.start(name)
    except WaitInterruptedError:
        raise
    except SparkctlError as error:
        error.message = "\n".join([error.message, *groups.undo()])
        raise


def refuse_unfit(ready: PreparedHosts) -> None:
    """Refuse a stack of which a part does not fit on its host, before anything is done.

    Raises:
        StackRefusedError: with the plan of the first host on which it does not.
    """
    for part in ready.parts:
        with said_of_host(part.name):
            effect.refuse_unfit(part.ready.plan)


def refuse_unseen(ready: PreparedHosts) -> None:
    """Say that of services on hosts that do not answer it is not known whether they are as declared.

    Raises:
        EngineError: with the hosts, and what they are known to have.
    """
    left = {host: ready.placed.placement.on(host) for host in ready.unseen}
    told = [
        f"{host} does not answer: {', '.join(names)} is left there as it is" for host, names in left.items() if names
    ]
    if told:
        hint = "apply it again when it answers; or take it out of `hosts`, and its services move"
        raise EngineError("\n".join(told), hint=hint)
