"""Hosts that act at the same time, each in a thread of its own; whoever fails, or is interrupted, stops the others.

What a host does, it does in its order. A start waits for what comes before it on other hosts, and what ends a service
waits for all that was to be done before. Only waits are stopped: what a host is doing comes to its end.
"""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import WaitInterruptedError
from sparkctl.planning.box.apply.acts import ActKind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from concurrent.futures import Future

    from sparkctl.planning.box.apply.acts import Act
    from sparkctl.planning.box.apply.over_hosts import HostAct
    from sparkctl.world.ports import Clock, Report

_LOOK_S: Final = 0.2
"""How long Ctrl-C may take to be seen while hosts act."""


class StoppedClock:
    """A host's clock, on which nobody waits any more once ``stop`` is set."""

    def __init__(self, clock: Clock, stop: threading.Event) -> None:
        self._clock = clock
        self._stop = stop

    def monotonic(self) -> float:
        """Return seconds from some start."""
        return self._clock.monotonic()

    def epoch(self) -> float:
        """Return seconds since the epoch, as the host's engine counts them."""
        return self._clock.epoch()

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            KeyboardInterrupt: it is to stop, as if the operator had said so.
        """
        self._clock.sleep(seconds)
        if self._stop.is_set():
            raise KeyboardInterrupt


class OneAtATimeReport:
    """What several threads tell: one sentence after another."""

    def __init__(self, report: Report, told: threading.Lock) -> None:
        self._report = report
        self._told = told

    def say(self, text: str) -> None:
        """Tell what was done."""
        with self._told:
            self._report.say(text)

    def warn(self, text: str) -> None:
        """Tell what may be wrong."""
        with self._told:
            self._report.warn(text)

    def progress(
        self,
        service: str,
        phase: str,
        tail: str,
        fraction: float | None = None,
        facts: Mapping[str, float | None] | None = None,
    ) -> None:
        """Tell where a start or a pull is."""
        with self._told:
            self._report.progress(service, phase, tail, fraction, facts)


class ActsAtOnce:
    """Acts in an order that is possible one after another, on all hosts at once; ``do`` does one on its host.

    ``begun`` are the acts of each host that were begun.
    """

    def __init__(
        self, order: Sequence[HostAct], after: Mapping[str, Collection[str]], do: Callable[[str, Act], None]
    ) -> None:
        self._order = order
        self._after = after
        self._do = do
        self._ended = [threading.Event() for _ in order]
        self.begun: dict[str, list[Act]] = {}

    def run(self, stop: threading.Event) -> tuple[str, BaseException] | None:
        """Do all of it; return the host that failed first and why, None where none did. ``stop`` is clear afterwards.

        Raises:
            KeyboardInterrupt: the operator said so; every host has stopped.
        """
        hosts = list(dict.fromkeys(one.host for one in self._order))
        if not hosts:
            return None
        futures: dict[Future[None], str] = {}
        try:
            with ThreadPoolExecutor(len(hosts)) as pool:
                try:
                    for host in hosts:
                        futures[pool.submit(self._of_host, host, stop)] = host
                    self._wait(futures, stop)
                except KeyboardInterrupt:
                    stop.set()
                    raise
        finally:
            stop.clear()
        failed = [(host, error) for one, host in futures.items() if (error := one.exception()) is not None]
        # Those that were stopped for another one's sake say no more than that.
        failed.sort(key=lambda one: isinstance(one[1], KeyboardInterrupt | WaitInterruptedError))
        return failed[0] if failed else None

    def _wait(self, futures: Collection[Future[None]], stop: threading.Event) -> None:
        left = set(futures)
        while left:
            done, left = wait(left, timeout=_LOOK_S, return_when=FIRST_EXCEPTION)
            if any(one.exception() is not None for one in done):
                stop.set()

    def _of_host(self, host: str, stop: threading.Event) -> None:
        for place, one in enumerate(self._order):
            if one.host != host:
                continue
            for earlier in self._before(place):
                while not self._ended[earlier].wait(_LOOK_S):
                    if stop.is_set():
                        raise WaitInterruptedError(f"{host} waited for another host")
            if stop.is_set():
                raise WaitInterruptedError(f"{host} had more to do")
            self.begun.setdefault(host, []).append(one.act)
            self._do(host, one.act)
            self._ended[place].set()

    def _before(self, place: int) -> list[int]:
        """Return the acts of other hosts that an act waits for, by their places."""
        own = self._order[place]
        others = [earlier for earlier in range(place) if self._order[earlier].host != own.host]
        if own.act.kind is ActKind.REMOVE:
            return others
        awaited = {name for service in own.act.services for name in self._after.get(service, ())}
        return [earlier for earlier in others if awaited & {*self._order[earlier].act.services}]
