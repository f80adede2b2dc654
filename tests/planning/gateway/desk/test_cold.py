"""A service that is not there: one start for all who wait, and an answer for each of them."""

from __future__ import annotations

import pytest

from sparkctl.planning.box.declared import Restarts, StartMode
from sparkctl.planning.gateway.desk.due import due_s
from sparkctl.planning.gateway.desk.effects import (
    ForwardRequest,
    HoldService,
    LookAtMemory,
    RefusedFor,
    RefuseRequest,
    StartService,
    TellWaiter,
)
from sparkctl.planning.gateway.desk.events import (
    GuardClosed,
    MemoryLooked,
    RequestLeft,
    StackDeclared,
    StartFailed,
    StartGoesOn,
)
from sparkctl.planning.gateway.desk.service import DeskDeclared, DeskState
from tests.support.desk_bench import DeskBench, of, one_of


def bench(**how: object) -> DeskBench:
    return DeskBench(DeskDeclared("a", **{"limit": 8, "load_s": 100.0} | how), DeskDeclared("b", limit=8))  # type: ignore[arg-type]


def test_all_who_wait_share_one_start() -> None:
    desk = bench(limit=2)
    assert one_of(desk.ask("1", "a"), StartService) == StartService("a", "1 request asks for a")
    assert desk.ask("2", "a") + desk.ask("3", "a") == []
    assert desk.started("a", after=90) == [ForwardRequest("1", "a"), ForwardRequest("2", "a")]
    assert desk.end("1") == [ForwardRequest("3", "a")]


def test_as_many_wait_for_a_start_as_the_service_and_its_queue_take_s18() -> None:
    desk = bench(limit=2, queue=1)
    refused = [one for number in range(5) for one in of(desk.ask(str(number), "a"), RefuseRequest)]
    assert [one.id for one in refused] == ["3", "4"]


def test_a_start_that_nobody_waits_for_goes_on() -> None:
    desk = bench()
    desk.ask("1", "a")
    assert desk.tell(RequestLeft("1")) == []
    assert desk.state("a") is DeskState.STARTING
    desk.started("a", after=100)
    assert desk.ask("2", "a") == [ForwardRequest("2", "a")]


def test_one_start_at_a_time_of_the_higher_priority_first() -> None:
    desk = DeskBench(*(DeskDeclared(name, priority=place, limit=9) for place, name in enumerate("abc")), total=200)
    for name in "abc":
        desk.ask(name, name, after=1)
    assert [one.service for one in desk.all(StartService)] == ["a"]
    desk.started("a", after=50)
    assert [one.service for one in desk.all(StartService)] == ["c"]
    desk.started("c", after=50)
    assert [one.service for one in desk.all(StartService)] == ["b"]


def test_a_start_of_somebody_else_is_waited_for() -> None:
    desk = bench()
    desk.see("b", DeskState.STARTING, eta_s=30.0)
    assert desk.ask("1", "a", stream=True) == []
    words = one_of(desk.tick(5), TellWaiter).words
    assert words == "sparkctl waiting for room for a: b is starting, and starts are one at a time"
    assert desk.ask("2", "b") == []
    seen = desk.see("b", DeskState.READY)
    assert [type(one) for one in seen] == [ForwardRequest, StartService]


@pytest.mark.parametrize(
    ("how", "asked", "words"),
    [
        ({}, {"may_start": False}, "a is not running, and this request may not start it; sparkctl up a starts it"),
        ({"start": StartMode.MANUAL}, {}, "a is not running, and is started by hand alone; sparkctl up a starts it"),
    ],
)
def test_who_may_not_start_it_is_refused_for_good_s23(
    how: dict[str, object], asked: dict[str, object], words: str
) -> None:
    desk = bench(command="sparkctl up a", **how)
    refused = one_of(desk.ask("1", "a", **asked), RefuseRequest)
    assert (refused.kind, refused.words, refused.should_retry) == (RefusedFor.NOT_ALLOWED, words, False)
    assert not desk.all(StartService)


def test_who_may_not_start_it_may_wait_for_a_start_that_others_wanted() -> None:
    desk = bench()
    desk.ask("1", "a")
    assert desk.ask("2", "a", may_start=False) == []
    assert ForwardRequest("2", "a") in desk.started("a")


def test_an_operator_who_stops_a_service_by_hand_is_not_fought() -> None:
    desk = bench()
    desk.ready("a")
    desk.see("a", DeskState.PAUSED, why="paused by ada")
    assert one_of(desk.ask("1", "a"), RefuseRequest).kind is RefusedFor.PAUSED
    assert desk.tick(1000) == []
    desk.see("a", DeskState.OFF)
    assert of(desk.ask("2", "a"), StartService)


def test_while_the_guard_has_closed_nothing_is_started_and_what_is_ready_goes_on_s23() -> None:
    desk = bench()
    desk.ready("b")
    desk.looks = False
    assert desk.ask("1", "a") == [LookAtMemory()]
    refused = one_of(desk.tell(GuardClosed("the guard admits no start")), RefuseRequest)
    assert (refused.kind, refused.retry_after_s, refused.should_retry) == (RefusedFor.CLOSED, 30, None)
    assert refused.words == "a is not running, and nothing is started now: the guard admits no start"
    assert desk.tell(MemoryLooked(desk.fits)) == []
    assert one_of(desk.ask("2", "a"), RefuseRequest).kind is RefusedFor.CLOSED
    assert desk.ask("3", "b") == [ForwardRequest("3", "b")]
    desk.tell(GuardClosed(""))
    assert desk.ask("4", "a", after=1) == [LookAtMemory()]


def test_a_start_that_is_under_way_goes_on_when_the_guard_closes() -> None:
    desk = bench()
    desk.ask("1", "a")
    assert desk.tell(GuardClosed("the guard admits no start")) == []
    assert desk.started("a") == [ForwardRequest("1", "a")]


def test_who_waits_longer_than_it_may_is_told_when_to_come_back_and_a_stream_stays_s23() -> None:
    desk = bench(load_s=700.0)
    desk.ask("1", "a", wait_s=540.0)
    desk.ask("2", "a", wait_s=540.0, stream=True)
    desk.tell(StartGoesOn("a", "loading weights 3/7", 90.0), after=530)
    refused = one_of(desk.tick(10), RefuseRequest)
    assert (refused.id, refused.kind, refused.retry_after_s) == ("1", RefusedFor.WAITED_OUT, 80)
    assert refused.words == "a was not there within 9m 00s: it is starting, about 1m 20s left"
    assert desk.started("a", after=80) == [ForwardRequest("2", "a")]


def test_a_retry_is_asked_for_within_two_minutes_at_most_s23() -> None:
    desk = bench(load_s=700.0)
    desk.ask("1", "a", wait_s=10.0)
    assert one_of(desk.tick(10), RefuseRequest).retry_after_s == 120


def test_a_stream_is_told_what_it_waits_for_after_5_s_and_then_every_10_s_s15() -> None:
    desk = bench()
    desk.ask("1", "a", stream=True)
    desk.ask("2", "a")
    told = []
    while desk.at < 1000 + 31:
        due = due_s(desk.desk, desk.at)
        assert due is not None
        told += [(desk.at - 1000, one.id, one.words) for one in of(desk.tick(due), TellWaiter)]
        desk.tell(StartGoesOn("a", "loading weights 3/7"))
    assert [(at, name) for at, name, _ in told[:3]] == [(5, "1"), (15, "1"), (25, "1")]
    assert told[0][2] == "sparkctl starting a, about 1m 35s left"
    assert told[1][2] == "sparkctl starting a, loading weights 3/7, about 1m 25s left"
    assert one_of(desk.tick(80), TellWaiter).words.endswith("loading weights 3/7, longer than usual")


def test_a_start_that_failed_is_waited_out_before_the_next_and_the_third_holds_it() -> None:
    desk = bench(restarts=Restarts(10.0, 300.0, 3, 1800.0), command="sparkctl up a")
    for wait in (10, 20):
        desk.ask(f"w{wait}", "a")
        refused = one_of(desk.tell(StartFailed("a", "no memory on the card"), after=60), RefuseRequest)
        assert (refused.kind, refused.retry_after_s) == (RefusedFor.START_FAILED, wait)
        assert refused.words == "a did not become ready: no memory on the card"
        soon = one_of(desk.ask("soon", "a", after=2), RefuseRequest)
        assert (soon.retry_after_s, soon.should_retry) == (wait - 2, None)
        desk.tick(wait)
    desk.ask("last", "a")
    effects = desk.tell(StartFailed("a", "no memory on the card", fix="lower limits.context"), after=60)
    why = "3 starts failed, the last one so: no memory on the card; lower limits.context"
    assert one_of(effects, HoldService) == HoldService("a", why)
    refused = one_of(effects, RefuseRequest)
    assert (refused.kind, refused.should_retry) == (RefusedFor.HELD, False)
    assert refused.words == f"a is held: {why}; sparkctl up a starts it"


def test_failures_are_forgotten_once_it_was_ready() -> None:
    desk = bench()
    for number in range(4):
        desk.ask(f"f{number}", "a")
        desk.tell(StartFailed("a", "no memory on the card"), after=60)
        desk.ask(f"g{number}", "a", after=10)
        desk.started("a", after=60)
        desk.end(f"g{number}")
        desk.see("a", DeskState.OFF)
    assert not desk.all(HoldService)


def test_a_cause_that_does_not_pass_holds_it_at_once() -> None:
    desk = bench()
    desk.ask("1", "a")
    effects = desk.tell(StartFailed("a", "unknown flag --frob", passes=False), after=5)
    assert one_of(effects, HoldService).why == "unknown flag --frob"
    assert one_of(effects, RefuseRequest).should_retry is False


def test_a_start_that_admission_refuses_is_no_failure_of_the_service() -> None:
    desk = bench()
    desk.ask("1", "a")
    assert desk.tell(StartFailed("a", "no room", no_room=True), after=1) == []
    assert of(desk.tick(10), StartService)
    assert desk.desk.services["a"].failures == ()


def test_a_look_that_fails_is_told_and_done_again() -> None:
    desk = bench()
    desk.looks = False
    desk.ask("1", "a", stream=True)
    desk.tell(MemoryLooked(None, "the engine does not answer"))
    assert one_of(desk.tick(5), TellWaiter).words.endswith("room for a: the engine does not answer")
    assert LookAtMemory() in desk.tick(5)
    assert LookAtMemory() not in desk.tick(30), "it is awaited"
    assert LookAtMemory() in desk.tick(30), "it is lost"


def test_a_service_that_goes_from_the_stack_while_it_starts_is_no_start_of_anybody_else() -> None:
    desk = bench()
    desk.ask("1", "a")
    effects = desk.tell(StackDeclared((DeskDeclared("b", limit=8),)))
    assert one_of(effects, RefuseRequest).words == "a is no service of the stack that is applied"
    assert desk.ask("2", "b", after=2) == []
    assert one_of(desk.started("a", after=9), StartService).service == "b"
    assert "a" not in desk.desk.services


def test_time_alone_changes_nothing_twice() -> None:
    desk = bench()
    desk.ask("1", "a", stream=True)
    desk.tick(5)
    assert desk.tick() == []
    assert due_s(desk.desk, desk.at) == 10


def test_nothing_is_due_where_nobody_waits() -> None:
    desk = bench()
    assert due_s(desk.desk, desk.at) is None
    desk.ready("a")
    assert due_s(desk.desk, desk.at) is None
