"""A server that is not there any more: who asked it waits for its restart, or is told the true reason."""

from __future__ import annotations

from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.gateway.desk.effects import ForwardRequest, RefusedFor, RefuseRequest, StartService, TellWaiter
from sparkctl.planning.gateway.desk.events import ServerLost
from sparkctl.planning.gateway.desk.service import DeskDeclared, DeskState
from tests.support.desk_bench import DeskBench, of, one_of


def lost(start: StartMode = StartMode.ALWAYS, *, sent: bool = False, **asked: object) -> DeskBench:
    """Return a desk with a request whose server took no connection, or had it and broke off."""
    desk = DeskBench(DeskDeclared("a", start, load_s=60.0, limit=2, queue=0, command="sparkctl up a"))
    desk.ready("a")
    assert desk.ask("1", "a") == [ForwardRequest("1", "a")]
    if not sent:
        desk.tell(ServerLost("a"))
    desk.end("1")
    assert desk.ask("1", "a", sent=sent, **asked) == []
    return desk


def test_a_server_that_takes_no_connection_gets_nothing_until_the_agent_has_looked() -> None:
    desk = lost()
    assert desk.ask("2", "a", stream=True) == []
    assert one_of(desk.tick(5), TellWaiter).words == (
        "sparkctl waiting for a: a is stuck: its server takes no connection"
    )
    assert desk.see("a", DeskState.READY) == [ForwardRequest("1", "a"), ForwardRequest("2", "a")]


def test_who_asked_what_an_operator_stopped_is_told_so_with_the_command() -> None:
    for sent in (False, True):
        refused = one_of(lost(sent=sent).see("a", DeskState.PAUSED, 1.0, why="ada stopped it"), RefuseRequest)
        assert (refused.kind, refused.should_retry) == (RefusedFor.PAUSED, False)
        assert refused.words == "a is paused: ada stopped it; sparkctl up a starts it"


def test_the_restart_of_a_server_that_died_is_waited_for_where_it_is_in_time() -> None:
    desk = lost(stream=True)
    assert desk.see("a", DeskState.OFF, 1.0, why="it ended with exit code 137", wait_s=10.0) == []
    words = one_of(desk.tick(5), TellWaiter).words
    assert words == "sparkctl waiting for a: it ended (it ended with exit code 137), and is started again in 5s"
    assert one_of(desk.tick(5), StartService).service == "a"
    assert desk.started("a", after=60) == [ForwardRequest("1", "a")]


def test_where_the_restart_is_too_late_it_is_told_when_to_come_back() -> None:
    effects = lost(wait_s=30.0).see("a", DeskState.OFF, why="it ended with exit code 137", wait_s=10.0)
    refused = one_of(effects, RefuseRequest)
    assert (refused.kind, refused.retry_after_s, refused.should_retry) == (RefusedFor.START_FAILED, 10, None)
    assert "it ended with exit code 137; it is started again in 10s" in refused.words


def test_whoever_may_start_nothing_waits_for_what_is_started_anyway() -> None:
    assert lost(may_start=False).see("a", DeskState.OFF, wait_s=10.0) == []
    on_demand = lost(StartMode.ON_DEMAND, may_start=False).see("a", DeskState.OFF)
    assert one_of(on_demand, RefuseRequest).kind is RefusedFor.NOT_ALLOWED


def test_what_is_started_on_demand_is_started_at_once() -> None:
    assert one_of(lost(StartMode.ON_DEMAND).see("a", DeskState.OFF), StartService).service == "a"


def test_what_a_server_had_is_not_handed_on_again_and_starts_nothing() -> None:
    effects = lost(StartMode.ON_DEMAND, sent=True).see("a", DeskState.OFF, 1.0, why="it ended")
    refused = one_of(effects, RefuseRequest)
    assert not of(effects, StartService)
    assert (refused.kind, refused.retry_after_s, refused.should_retry) == (RefusedFor.START_FAILED, 60, None)
    how = "the server of a broke off before it answered"
    assert refused.words == f"{how}: a is not running any more (it ended), and is started again"
    starting = one_of(lost(sent=True).see("a", DeskState.STARTING, 1.0, eta_s=42.0), RefuseRequest)
    assert starting.retry_after_s == 42
    by_hand = one_of(lost(StartMode.MANUAL, sent=True).see("a", DeskState.OFF, 1.0), RefuseRequest)
    assert (by_hand.kind, by_hand.should_retry) == (RefusedFor.NOT_ALLOWED, False)


def test_a_server_that_broke_off_and_goes_on_is_a_502() -> None:
    refused = one_of(lost(sent=True).see("a", DeskState.READY, 1.0), RefuseRequest)
    assert (refused.kind, refused.words) == (RefusedFor.DIED, "the server of a broke off before it answered")
    nobody_looks = lost(sent=True, wait_s=15.0).tick(15)
    assert one_of(nobody_looks, RefuseRequest).kind is RefusedFor.DIED
