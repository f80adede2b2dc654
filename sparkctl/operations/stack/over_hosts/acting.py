"""Acts on several hosts as on one: all is prepared before anything is changed, and what fails is undone on each."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from copy import copy
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import EngineError, SparkctlError, WaitInterruptedError
from sparkctl.operations.hosts.told import said_of_host
from sparkctl.operations.stack.effect import Acting, first_line
from sparkctl.operations.stack.one_at_a_time import alone
from sparkctl.operations.stack.over_hosts.together import ActsAtOnce, OneAtATimeReport, StoppedClock
from sparkctl.planning.box.apply.over_hosts import sequenced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.stack.one_at_a_time import Effect
    from sparkctl.operations.stack.over_hosts.groups import StackGroups
    from sparkctl.planning.box.apply.acts import Act
    from sparkctl.planning.box.apply.over_hosts import HostAct
    from sparkctl.planning.box.generation import KeptGeneration


class HostEffect(NamedTuple):
    """What is to be on a host, and that host's world."""

    world: World
    effect: Effect


class DoneOnHosts(NamedTuple):
    """What was put into effect: each host's generation, and what was done, in its order."""

    generations: Mapping[str, KeptGeneration]
    acts: tuple[HostAct, ...] = ()


@contextmanager
def alone_on_all(hosts: Mapping[str, HostEffect]) -> Iterator[None]:
    """Keep out other commands that put a stack into effect on one of these hosts, asked in the order of their names.

    Raises:
        EngineError: one is at it, or a host does not answer.
    """
    with ExitStack() as held:
        for host in sorted(hosts):
            with said_of_host(host):
                held.enter_context(alone(hosts[host].world))
        yield


def _at_once(world: World, stop: threading.Event, told: threading.Lock) -> World:
    """Return a host's world for a thread of its own: its waits can be stopped, and all tell one after another."""
    found = copy(world)
    found.ports = world.ports._replace(clock=StoppedClock(world.ports.clock, stop))
    found.report = OneAtATimeReport(world.report, told)
    return found


class AllHosts:
    """Puts an effect on each host, by its name, or undoes what was done on all of them.

    ``after`` are by a service's name those that have to be ready before it starts, on whatever host. ``groups`` are
    what several of the hosts share, which is started when all else runs.
    """

    def __init__(
        self, effects: Mapping[str, HostEffect], after: Mapping[str, Sequence[str]], groups: StackGroups | None = None
    ) -> None:
        self._after = after
        self._groups = groups
        self._effects = dict(sorted(effects.items()))
        self._stop, told = threading.Event(), threading.Lock()
        self._actings = {
            host: Acting(_at_once(one.world, self._stop, told), one.effect) for host, one in self._effects.items()
        }

    def put_into_effect(self) -> DoneOnHosts:
        """Prepare all, keep a generation on each, act, and keep how it ended; nobody else does so meanwhile.

        Raises:
            StackRefusedError, InputError: as for one host; nothing was touched.
            EngineError, ModError, NotReadyError, CheckError: a service is not as it has to be, or a host was lost. The
                message says how each host is: what was changed is undone where that can be done.
            WaitInterruptedError: the operator stopped waiting; what was changed stays.
        """
        with alone_on_all(self._effects):
            return self._all()

    def _all(self) -> DoneOnHosts:
        for host, acting in self._actings.items():
            with said_of_host(host):
                acting.prepare()
        order = sequenced({host: acting.plan.acts for host, acting in self._actings.items()}, self._after)
        self._keep()
        self._act(order.first)
        lost = self._end_what_moved(order.last)
        for host, acting in self._actings.items():
            if host not in lost:
                with said_of_host(host):
                    acting.settle()
        if lost:
            raise self._unended(lost)
        if self._groups is not None:
            self._groups.forget()
        kept = {host: acting.kept for host, acting in self._actings.items()}
        return DoneOnHosts(kept, (*order.first, *order.last))

    def _keep(self) -> None:
        """Keep a generation on each host; where one cannot be kept, nothing was changed on any of them."""
        kept: list[Acting] = []
        for host, acting in self._actings.items():
            try:
                with said_of_host(host):
                    acting.keep()
            except SparkctlError as error:
                for one in kept:
                    one.failed(first_line(error))
                raise
            kept.append(acting)

    def _act(self, acts: Sequence[HostAct]) -> None:
        """Act on all hosts at once, and then start what they share; whatever fails undoes all of it."""
        stop = self._stop
        at_once = ActsAtOnce(acts, self._after, lambda host, act: self._actings[host].do(act))
        host = ""
        try:
            failed = at_once.run(stop)
            if failed is not None:
                host, error = failed
                raise error
            for name, acting in self._actings.items():
                host = name
                acting.verify()
            if self._groups is not None:
                for name in self._groups.names:
                    host = self._groups.head(name)
                    self._groups.start(name)
        except (WaitInterruptedError, KeyboardInterrupt):
            for acting in self._actings.values():
                acting.stopped()
            raise
        except SparkctlError as error:
            told = self._undone(f"{host}: {first_line(error)}", at_once.begun)
            error.message = "\n".join([f"{host}: {error.message}", *told])
            raise

    def _undone(self, why: str, done: Mapping[str, Sequence[Act]]) -> list[str]:
        """Undo what was done on each host, the last first, and return how each of them is now, a sentence each."""
        of_groups = [] if self._groups is None else self._groups.undo()
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
