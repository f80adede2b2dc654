"""A service that is declared after others: a request for it starts these first, where all of them have room."""

from __future__ import annotations

import pytest

from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.gateway.desk.effects import (
    ForwardRequest,
    RefusedFor,
    RefuseRequest,
    StartService,
    StopService,
    TellWaiter,
)
from sparkctl.planning.gateway.desk.events import StartFailed
from sparkctl.planning.gateway.desk.service import DeskDeclared, DeskState
from tests.support.desk_bench import DeskBench, of, one_of


def bench(total: int = 100, first: StartMode = StartMode.ON_DEMAND, **sizes: int) -> DeskBench:
    """Return a desk of draft, of reader which comes after it, and of another one of a higher priority."""
    draft = DeskDeclared("draft", first, stays_s=0.0, command="sparkctl up draft")
    reader = DeskDeclared("reader", after=("draft",), priority=5, stays_s=0.0, command="sparkctl up reader")
    other = DeskDeclared("other", priority=3, stays_s=0.0)
    return DeskBench(draft, reader, other, sizes={"draft": 20, "reader": 50, "other": 50} | sizes, total=total)


def test_what_it_comes_after_is_started_first_and_once() -> None:
    desk = bench()
    start = one_of(desk.ask("1", "reader", stream=True), StartService)
    assert start == StartService("draft", "1 request asks for reader, which comes after it")
    words = one_of(desk.tick(5), TellWaiter).words
    assert words == "sparkctl waiting for reader, which comes after draft: starting draft"
    assert one_of(desk.started("draft", after=20), StartService).service == "reader"
    assert desk.started("reader", after=20) == [ForwardRequest("1", "reader")]


def test_what_is_there_already_is_not_started_and_does_not_go_for_it() -> None:
    desk = bench(total=60)
    desk.ready("draft")
    refused = one_of(desk.ask("1", "reader", after=1000), RefuseRequest)
    assert not desk.all(StopService)
    assert (refused.kind, refused.should_retry) == (RefusedFor.DOES_NOT_FIT, False)
    assert "counted as staying: draft" in refused.words


def test_what_never_has_room_together_is_refused_before_anything_is_started_or_stopped() -> None:
    desk = bench(total=60)
    desk.ready("other")
    effects = desk.ask("1", "reader", after=1000)
    assert not [*of(effects, StartService), *of(effects, StopService)]
    words = "70 of 60 GiB\n  reader comes after draft, which has to be there first"
    assert one_of(effects, RefuseRequest).words == words


@pytest.mark.parametrize("total", [100, 70])
def test_room_is_made_for_all_of_them_by_the_priority_of_the_last(total: int) -> None:
    desk = bench(total, draft=20 if total > 70 else 21, reader=49)
    desk.ready("other")
    effects = desk.ask("1", "reader")
    if total > 70:
        assert one_of(effects, StartService).service == "draft"
        effects = desk.started("draft", after=20)
    stop = one_of(effects, StopService)
    assert stop.service == "other"
    assert "priority 3 of other, priority 5 of" in stop.why
    start = one_of(desk.stopped("other", after=5), StartService)
    if total == 70:
        assert start.service == "draft"
        start = one_of(desk.started("draft", after=20), StartService)
    assert start.service == "reader"


@pytest.mark.parametrize(
    ("state", "kind", "words"),
    [
        (DeskState.PAUSED, RefusedFor.PAUSED, "reader comes after draft, which is paused: ada stopped it"),
        (DeskState.HELD, RefusedFor.HELD, "reader comes after draft, which is held: ada stopped it"),
    ],
)
def test_where_what_comes_first_stands_still_that_is_told(state: DeskState, kind: RefusedFor, words: str) -> None:
    desk = bench()
    desk.see("draft", state, why="ada stopped it")
    refused = one_of(desk.ask("1", "reader"), RefuseRequest)
    assert (refused.kind, refused.should_retry) == (kind, False)
    assert refused.words == f"{words}; sparkctl up draft starts it"


def test_what_is_started_by_hand_alone_no_request_starts() -> None:
    refused = one_of(bench(first=StartMode.MANUAL).ask("1", "reader"), RefuseRequest)
    assert refused.kind is RefusedFor.NOT_ALLOWED
    assert refused.words.startswith("reader comes after draft, which is not running, and is started by hand alone")


def test_where_the_first_start_fails_it_is_told_with_its_cause() -> None:
    desk = bench()
    desk.ask("1", "reader")
    refused = one_of(desk.tell(StartFailed("draft", "no memory on the card"), after=60), RefuseRequest)
    assert (refused.id, refused.kind, refused.retry_after_s) == ("1", RefusedFor.START_FAILED, 10)
    assert refused.words.startswith("reader comes after draft: draft is not ready: no memory on the card")


def test_who_may_start_nothing_starts_nothing_before_it_either() -> None:
    assert not of(bench().ask("1", "reader", may_start=False), StartService)
