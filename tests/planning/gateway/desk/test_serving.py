"""A service that is there: who is served, who waits, who is refused."""

from __future__ import annotations

import pytest

from sparkctl.planning.gateway.desk.effects import ForwardRequest, RefusedFor, RefuseRequest, StopService
from sparkctl.planning.gateway.desk.events import RequestLeft, RequestRests
from sparkctl.planning.gateway.desk.service import DeskDeclared, DeskState
from tests.support.desk_bench import DeskBench, of, one_of


def bench(**how: object) -> DeskBench:
    desk = DeskBench(DeskDeclared("chat", **how))  # type: ignore[arg-type]
    desk.ready("chat")
    return desk


def test_as_many_as_its_limit_are_served_more_wait_and_then_it_is_full_s18() -> None:
    desk = bench(limit=2, queue=1)
    assert [one.id for name in "ab" for one in of(desk.ask(name, "chat"), ForwardRequest)] == ["a", "b"]
    assert desk.ask("c", "chat") == []
    refused = one_of(desk.ask("d", "chat"), RefuseRequest)
    assert (refused.kind, refused.retry_after_s, refused.should_retry) == (RefusedFor.QUEUE_FULL, 5, None)
    assert refused.words == "chat answers 2 requests at once, and 1 more wait for it: its queue is full"
    assert of(desk.end("a"), ForwardRequest) == [ForwardRequest("c", "chat")]
    assert (desk.desk.serving("chat"), desk.desk.waiting("chat")) == (2, 0)


def test_of_those_that_wait_the_higher_priority_is_first_and_then_who_came_first() -> None:
    desk = bench(limit=1)
    for number, priority in enumerate((0, 0, 1, 0)):
        desk.ask(f"r{number}", "chat", after=1, priority=priority)
    order = []
    while served := desk.all(ForwardRequest):
        order += [one.id for one in served]
        desk.end(served[0].id, after=1)
    assert order == ["r0", "r2", "r1", "r3"]


def test_who_leaves_is_off_the_queue_and_gives_its_place_to_the_next() -> None:
    desk = bench(limit=1)
    for name in "abc":
        desk.ask(name, "chat")
    assert desk.tell(RequestLeft("b")) == []
    assert desk.tell(RequestLeft("a")) == [ForwardRequest("c", "chat")]
    assert desk.tell(RequestLeft("a")) == []
    assert desk.end("nobody") == []


def test_a_place_in_the_queue_is_kept_for_a_bounded_time_s9() -> None:
    desk = bench(limit=1)
    desk.ask("a", "chat")
    desk.ask("b", "chat", wait_s=30.0)
    assert desk.tick(29.9) == []
    refused = one_of(desk.tick(0.1), RefuseRequest)
    assert (refused.id, refused.kind) == ("b", RefusedFor.QUEUE_FULL)
    assert "others were before this one for 30s" in refused.words


def test_a_tokenize_takes_no_place_starts_nothing_and_keeps_nothing_running_s13() -> None:
    desk = bench(limit=1, queue=0, idle_s=100.0)
    desk.ask("a", "chat")
    assert desk.ask("t", "chat", after=1, keeps=False) == [ForwardRequest("t", "chat")]
    desk.end("a", after=1)
    desk.ask("u", "chat", after=90, keeps=False)
    desk.end("u", after=5)
    assert one_of(desk.tick(5), StopService).service == "chat"
    desk.stopped("chat")
    refused = one_of(desk.ask("v", "chat", keeps=False), RefuseRequest)
    assert (refused.kind, refused.should_retry) == (RefusedFor.NOT_ALLOWED, False)


def test_an_idle_websocket_is_no_use_of_a_service() -> None:
    desk = bench(idle_s=100.0)
    desk.ask("w", "chat")
    desk.tell(RequestRests("w"), after=10)
    assert desk.tick(99) == []
    desk.tell(RequestRests("w", rests=False))
    assert desk.tick(99) == []
    desk.tell(RequestRests("w"))
    assert one_of(desk.tick(100), StopService).why == "nobody has asked for chat for 1m 40s"


def test_a_stuck_server_gets_no_request_until_it_goes_on_s22() -> None:
    desk = bench()
    desk.see("chat", DeskState.STUCK, why="no step for 25s")
    assert desk.ask("a", "chat") == []
    assert desk.see("chat", DeskState.READY, after=5) == [ForwardRequest("a", "chat")]
    desk.see("chat", DeskState.STUCK, why="no step for 25s")
    desk.ask("b", "chat", wait_s=30.0)
    assert one_of(desk.tick(30), RefuseRequest).words == "chat was not there within 30s: chat is stuck: no step for 25s"


@pytest.mark.parametrize("state", [DeskState.HELD, DeskState.PAUSED])
def test_a_service_that_is_held_or_paused_is_refused_with_the_reason_and_the_command_s23(state: DeskState) -> None:
    desk = DeskBench(DeskDeclared("chat", command="sparkctl up chat"))
    desk.see("chat", state, why="by ada")
    refused = one_of(desk.ask("a", "chat"), RefuseRequest)
    assert (refused.should_retry, refused.retry_after_s) == (False, None)
    assert refused.words == f"chat is {state}: by ada; sparkctl up chat starts it"


def test_what_the_stack_does_not_have_is_refused() -> None:
    assert one_of(bench().ask("a", "nothing"), RefuseRequest).kind is RefusedFor.UNKNOWN
