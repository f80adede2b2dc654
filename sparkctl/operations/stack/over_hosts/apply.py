"""Makes a stack so on several hosts: placed, admitted on each host, and put into effect on all of them or on none.

Each host has its own generation, with a digest of the whole. All of them are kept before the first change, so that what
a killed command leaves is found on each host, and finished by the next apply. What is started comes before what ends
for it on another host. What fails is undone on every host.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import EngineError, SparkctlError, WaitInterruptedError
from sparkctl.operations.hosts.opened import opened
from sparkctl.operations.hosts.told import HostReport
from sparkctl.operations.stack import apply as one_host
from sparkctl.operations.stack.effect import Acting, first_line
from sparkctl.operations.stack.generations import Generations
from sparkctl.operations.stack.one_at_a_time import alone
from sparkctl.operations.stack.over_hosts.diff import alone_on, without_moved
from sparkctl.operations.stack.over_hosts.groups import StackGroups
from sparkctl.operations.stack.over_hosts.look import world_of_part
from sparkctl.operations.stack.over_hosts.placing import declared_hosts, placed
from sparkctl.operations.stack.over_hosts.plan import StackHasNoPlaceError
from sparkctl.planning.box.apply.over_hosts import sequenced
from sparkctl.recipes.hosts.part import word_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.stack.apply import ApplyOptions, Prepared
    from sparkctl.operations.stack.over_hosts.placing import PlacedHost, PlacedStack
    from sparkctl.planning.box.apply.acts import Act
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
        parts = []
        for one in sorted(found.hosts, key=lambda one: one.name):
            if one.seen is not None and _has_part(one, stack):
                with _named(one.name):
                    parts.append(_part(world, found, one, options))
        unseen = tuple(one.name for one in found.hosts if one.seen is None)
        groups = StackGroups(world, found)
        if not options.dry_run:
            groups.check()
        yield PreparedHosts(found, tuple(parts), groups, unseen)


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
    own = replace(options, goes=goes, whole=found.whole, keeps=found.groups)
    ready = one_host.prepared(part, word_of(found.stack), own)
    others = (*one.leaves, *found.groups)
    return HostPart(one.name, part, replace(ready, diff=without_moved(ready.diff, others)))


@contextmanager
def _named(host: str) -> Iterator[None]:
    """Say of what is raised on which host it was."""
    try:
        yield
    except SparkctlError as error:
        error.message = f"{host}: {error.message}"
        raise


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
    with ExitStack() as held:
        for one in ready.parts:
            with _named(one.name):
                held.enter_context(alone(one.world))
        if not ready.as_declared:
            return _AllHosts(ready).put_into_effect()
        _started(ready.groups)
        return now._replace(already=not ready.groups.started)


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


class _AllHosts:
    """Acts on all hosts, and undoes what was done on each of them."""

    def __init__(self, ready: PreparedHosts) -> None:
        self._ready = ready
        self._groups = ready.groups
        self._actings = {one.name: Acting(one.world, one.ready.effect) for one in ready.parts}

    def put_into_effect(self) -> AppliedHosts:
        """Prepare all, keep a generation on each, act, and keep how it ended."""
        for host, acting in self._actings.items():
            with _named(host):
                acting.prepare()
        after = {name: one.after for name, one in self._ready.placed.stack.stack.services.items()}
        order = sequenced({host: acting.plan.acts for host, acting in self._actings.items()}, after)
        self._keep()
        self._act(order.first)
        lost = self._end_what_moved(order.last)
        for host, acting in self._actings.items():
            if host not in lost:
                with _named(host):
                    acting.settle()
        if lost:
            raise self._unended(lost)
        self._groups.forget()
        kept = {host: acting.kept for host, acting in self._actings.items()}
        return AppliedHosts(kept, (*order.first, *order.last))

    def _keep(self) -> None:
        """Keep a generation on each host; where one cannot be kept, nothing was changed on any of them."""
        kept: list[Acting] = []
        for host, acting in self._actings.items():
            try:
                with _named(host):
                    acting.keep()
            except SparkctlError as error:
                for one in kept:
                    one.failed(first_line(error))
                raise
            kept.append(acting)

    def _act(self, acts: Sequence[HostAct]) -> None:
        done: dict[str, list[Act]] = {}
        host = ""
        try:
            for host, act in acts:
                done.setdefault(host, []).append(act)
                self._actings[host].do(act)
            for name, acting in self._actings.items():
                host = name
                acting.verify()
            for name in self._groups.names:
                host = self._ready.placed.placement.where[name][0]
                self._groups.start(name)
        except (WaitInterruptedError, KeyboardInterrupt):
            for acting in self._actings.values():
                acting.stopped()
            raise
        except SparkctlError as error:
            told = self._undone(f"{host}: {first_line(error)}", done)
            error.message = "\n".join([f"{host}: {error.message}", *told])
            raise

    def _undone(self, why: str, done: Mapping[str, Sequence[Act]]) -> list[str]:
        """Undo what was done on each host, the last first, and return how each of them is now, a sentence each."""
        of_groups = self._groups.undo()
        told = {}
        for host in [*reversed(list(done)), *(one for one in self._actings if one not in done)]:
            try:
                left = self._actings[host].failed(why)
                told[host] = "; ".join(left) or ("as it was before" if host in done else "was not changed")
            except SparkctlError as error:
                acts = ", ".join(f"{act.kind} {' '.join(act.services)}" for act in done.get(host, ()))
                told[host] = f"does not answer any more ({first_line(error)}); begun there: {acts or 'nothing'}"
        return [*(f"{host}: {told[host]}" for host in self._actings), *of_groups]

    def _end_what_moved(self, acts: Sequence[HostAct]) -> dict[str, SparkctlError]:
        """End what runs elsewhere by now, or is declared no more; return the hosts where that failed, and why."""
        lost: dict[str, SparkctlError] = {}
        for host, act in acts:
            if host in lost:
                continue
            try:
                self._actings[host].do(act)
            except (WaitInterruptedError, KeyboardInterrupt):
                for acting in self._actings.values():
                    acting.stopped()
                raise
            except SparkctlError as error:
                lost[host] = error
        return lost

    def _unended(self, lost: Mapping[str, SparkctlError]) -> EngineError:
        """Return the error of hosts where something was to end, and did not; all others are as declared."""
        told = [f"{host}: {first_line(error)}: what was to end there may still run" for host, error in lost.items()]
        told += [f"{host}: is as declared" for host in self._actings if host not in lost]
        return EngineError("\n".join(told), hint="apply it again when the host answers: that ends it")


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
