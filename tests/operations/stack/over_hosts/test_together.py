"""Hosts that act at the same time: what overlaps, what waits for whom, and that one that fails stops the others."""

from __future__ import annotations

import signal
import threading

import pytest

from sparkctl.base.errors import EngineError, WaitInterruptedError
from sparkctl.operations.stack.over_hosts.together import ActsAtOnce, OneAtATimeReport, StoppedClock
from sparkctl.planning.box.apply.acts import Act, ActKind
from sparkctl.planning.box.apply.over_hosts import HostAct
from tests.support.fakes import FakeClock, FakeReport

SOON_S = 20.0
"""More than any of this takes."""


def start(host: str, *names: str) -> HostAct:
    return HostAct(host, Act(ActKind.START, names))


def removed(host: str, name: str) -> HostAct:
    return HostAct(host, Act(ActKind.REMOVE, (name,)))


class Done:
    """What was done, in its order."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __call__(self, host: str, act: Act) -> None:
        self.told.append(f"{host} {act.kind} {' '.join(act.services)}")


def test_hosts_act_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=SOON_S)
    acts = ActsAtOnce([start("a", "x"), start("b", "y")], {}, lambda *_: both.wait() and None)
    assert acts.run(threading.Event()) is None
    assert {host: [one.services for one in done] for host, done in acts.begun.items()} == {"a": [("x",)], "b": [("y",)]}
    assert ActsAtOnce([], {}, Done()).run(threading.Event()) is None


def test_a_start_waits_for_what_it_comes_after_and_an_end_for_all_before() -> None:
    done = Done()
    order = [start("b", "y"), start("a", "x"), removed("c", "y"), start("c", "z")]
    assert ActsAtOnce(order, {"x": ("y",)}, done).run(threading.Event()) is None
    assert done.told == ["b start y", "a start x", "c remove y", "c start z"]


def test_one_that_fails_stops_who_waits_for_it_and_who_has_more_to_do() -> None:
    stop, done = threading.Event(), Done()

    def do(host: str, act: Act) -> None:
        if host == "a":
            raise EngineError("no")
        assert stop.wait(SOON_S), "the others are told"
        done(host, act)

    order = [start("a", "x"), start("b", "y"), start("b", "z"), start("c", "w")]
    failed = ActsAtOnce(order, {"w": ("x",)}, do).run(stop)
    assert failed is not None
    assert (failed[0], str(failed[1])) == ("a", "no")
    assert done.told == ["b start y"], "what was under way came to its end"
    assert not stop.is_set()


def test_one_that_is_interrupted_is_told_where_nothing_else_is_wrong() -> None:
    def do(*_: object) -> None:
        raise WaitInterruptedError("interrupted")

    failed = ActsAtOnce([start("a", "x")], {}, do).run(threading.Event())
    assert failed is not None
    assert isinstance(failed[1], WaitInterruptedError)


def test_an_operator_who_stops_waiting_stops_every_host() -> None:
    stop = threading.Event()

    def do(host: str, _: Act) -> None:
        if host == "a":
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        assert stop.wait(SOON_S), "all are told"

    # What a shell starts in the background ignores it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            ActsAtOnce([start("a", "x"), start("b", "y")], {}, do).run(stop)
    finally:
        signal.signal(signal.SIGINT, before)


def test_nobody_waits_on_a_clock_that_is_stopped() -> None:
    stop, clock = threading.Event(), FakeClock()
    stopped = StoppedClock(clock, stop)
    stopped.sleep(2.0)
    assert (stopped.monotonic(), stopped.epoch()) == (clock.monotonic(), clock.epoch())
    stop.set()
    with pytest.raises(KeyboardInterrupt):
        stopped.sleep(1.0)


def test_what_several_tell_is_told_as_it_was_said() -> None:
    report = FakeReport()
    told = OneAtATimeReport(report, threading.Lock())
    told.say("done")
    told.warn("careful")
    told.progress("a: x", "loading", "1 of 2")
    assert "done" in report.said
    assert "careful" in report.warned
