"""Services of other hosts at the desk: they are asked, and never started, stopped, or counted in this box's memory."""

from __future__ import annotations

from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.gateway.desk.effects import ForwardRequest, RefusedFor, RefuseRequest, StartService, StopService
from sparkctl.planning.gateway.desk.events import FarSeen, SeenAtDesk, ServerLost
from sparkctl.planning.gateway.desk.service import DeskDeclared, DeskState
from tests.support.desk_bench import DeskBench, of, one_of

FAR = DeskDeclared("a@b", StartMode.MANUAL, limit=1, queue=1, command="sparkctl --host b up a", host="b")


def far(state: DeskState, why: str = "", requests: int = 0) -> FarSeen:
    return FarSeen((SeenAtDesk("a@b", state, why, requests=requests),))


def desk(*more: DeskDeclared) -> DeskBench:
    found = DeskBench(FAR, *more)
    found.tell(far(DeskState.READY))
    return found


def test_it_answers_as_many_as_it_may_and_more_wait() -> None:
    bench = desk()
    assert bench.ask("1", "a@b") == [ForwardRequest("1", "a@b")]
    assert bench.ask("2", "a@b") == []
    assert one_of(bench.ask("3", "a@b"), RefuseRequest).kind is RefusedFor.QUEUE_FULL
    assert bench.end("1") == [ForwardRequest("2", "a@b")]


def test_a_host_that_does_not_answer_is_told_to_whoever_asks_for_its_service() -> None:
    bench = desk()
    bench.tell(far(DeskState.OFF, "host b does not answer: it is down"))
    refused = one_of(bench.ask("1", "a@b"), RefuseRequest)
    assert (refused.kind, refused.retry_after_s, refused.should_retry) == (RefusedFor.NOT_ALLOWED, 30, None)
    expected = "a@b is not running: host b does not answer: it is down; sparkctl --host b up a starts it"
    assert refused.words == expected


def test_it_is_never_stopped_for_room_and_its_memory_is_none_of_this_box() -> None:
    bench = desk(DeskDeclared("c", priority=100, load_s=1.0))
    bench.total = 40  # as much as one takes: what is far is counted nowhere
    bench.sizes["a@b"] = 0
    assert one_of(bench.ask("1", "c", 1000.0), StartService).service == "c"
    assert of(bench.effects, StopService) == []


def test_a_start_there_holds_up_no_start_here() -> None:
    bench = desk(DeskDeclared("c", load_s=1.0))
    bench.sizes["a@b"] = 0
    bench.tell(far(DeskState.STARTING))
    assert one_of(bench.ask("1", "c"), StartService).service == "c"


def test_who_waits_for_one_that_starts_there_is_served_when_it_is_ready() -> None:
    bench = desk()
    bench.tell(far(DeskState.STARTING))
    assert bench.ask("1", "a@b") == []
    assert bench.tell(far(DeskState.READY)) == [ForwardRequest("1", "a@b")]


def test_requests_of_others_at_its_server_are_counted() -> None:
    bench = desk()
    bench.ask("1", "a@b")
    bench.tell(far(DeskState.READY, requests=5))
    assert bench.desk.services["a@b"].others == 4


def test_one_that_gave_nothing_gets_nothing_until_its_host_was_looked_at() -> None:
    bench = desk()
    bench.tell(ServerLost("a@b"))
    assert bench.ask("1", "a@b") == []
    assert bench.tell(far(DeskState.READY)) == [ForwardRequest("1", "a@b")]


def test_what_its_server_had_and_never_answered_is_told_with_what_is_known_of_the_host() -> None:
    bench = desk()
    bench.ask("1", "a@b", sent=True)
    refused = one_of(bench.tell(far(DeskState.OFF, "host b does not answer: it is down"), 1.0), RefuseRequest)
    assert refused.kind is RefusedFor.START_FAILED
    assert "broke off before it answered: a@b is not running: host b does not answer" in refused.words
