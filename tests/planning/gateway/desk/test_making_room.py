"""Who goes for whom, when, and who does not."""

from __future__ import annotations

import pytest

from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.gateway.desk.effects import (
    ForwardRequest,
    RefusedFor,
    RefuseRequest,
    StartService,
    StopFor,
    StopService,
    TellWaiter,
)
from sparkctl.planning.gateway.desk.events import (
    GuardClosed,
    RequestLeft,
    ServicePinned,
    StackDeclared,
    StopFailed,
)
from sparkctl.planning.gateway.desk.service import DeskDeclared, DeskState
from tests.support.desk_bench import DeskBench, of, one_of


def low(**how: object) -> DeskDeclared:
    return DeskDeclared("low", **{"priority": 1, "limit": 8} | how)  # type: ignore[arg-type]


def high(**how: object) -> DeskDeclared:
    return DeskDeclared("high", **{"priority": 5, "limit": 8} | how)  # type: ignore[arg-type]


def two(**how: object) -> DeskBench:
    """Return a box with room for one of two; the lower one is there."""
    desk = DeskBench(low(**how), high(), total=60)
    desk.ready("low")
    return desk


def test_an_idle_service_of_a_lower_priority_goes_and_the_reason_has_its_sum_s11() -> None:
    desk = two()
    stop = one_of(desk.ask("1", "high", after=30), StopService)
    assert stop == StopService(
        "low",
        StopFor.ROOM,
        "low goes for high: priority 1 of low, priority 5 of high; nobody has asked for low for 1m 30s\n80 of 60 GiB",
    )
    assert desk.desk.kept_off == {"low", "high"}
    assert one_of(desk.stopped("low", after=3), StartService).service == "high"
    assert desk.desk.kept_off == frozenset()
    assert desk.started("high", after=60) == [ForwardRequest("1", "high")]


def test_a_service_with_a_request_in_flight_does_not_go_until_it_has_ended_s7() -> None:
    desk = two()
    desk.ask("busy", "low")
    assert desk.ask("1", "high", stream=True) == []
    assert one_of(desk.tick(5), TellWaiter).words.endswith("room for high: low answers 1 request")
    assert [one.service for one in of(desk.end("busy", after=20), StopService)] == ["low"]


def test_a_service_that_somebody_asks_directly_does_not_go_s7() -> None:
    desk = two()
    desk.see("low", DeskState.READY, busy=True)
    desk.ask("1", "high")
    assert not of(desk.tick(50), StopService)
    assert of(desk.see("low", DeskState.READY, after=2, busy=False), StopService)


@pytest.mark.parametrize(("stays_s", "load_s", "least"), [(60.0, 0.0, 60), (60.0, 300.0, 300), (90.0, 30.0, 90)])
def test_a_service_stays_for_its_minimal_stay_the_time_of_its_own_load_if_that_is_longer_s8(
    stays_s: float, load_s: float, least: float
) -> None:
    desk = DeskBench(low(stays_s=stays_s, load_s=load_s), high(), total=60)
    desk.see("low", DeskState.READY)
    desk.ask("1", "high")
    while not (stops := of(desk.tick(1), StopService)):
        assert desk.at < 2000
    assert desk.at - 1000 == least
    assert [one.service for one in stops] == ["low"]


def test_a_b_a_c_b_does_not_swap_each_time_s8() -> None:
    """Three of the same priority take turns: each asked for every ten seconds for half an hour, as agents do it."""
    desk = DeskBench(*(DeskDeclared(name, load_s=120.0, limit=8, idle_s=60.0) for name in "abc"), total=60)
    loads = 0
    for number in range(180):
        effects = desk.ask(str(number), "abacb"[number % 5], after=10)
        while effects:
            effects = [
                *(each for one in of(effects, StartService) for each in desk.started(one.service, after=5)),
                *(each for one in of(effects, StopService) for each in desk.stopped(one.service)),
                *(each for one in of(effects, ForwardRequest) for each in desk.end(one.id)),
            ]
        loads = len([one for one in desk.effects if isinstance(one, StartService)])
    assert 3 <= loads <= 1800 / 120 + 1


def test_what_never_fits_is_refused_at_once_and_nothing_is_stopped_s10() -> None:
    desk = DeskBench(low(), high(), DeskDeclared("kept", keep=True), sizes={"high": 70}, total=100)
    desk.ready("low", "kept")
    effects = desk.ask("1", "high")
    refused = one_of(effects, RefuseRequest)
    assert (refused.kind, refused.should_retry) == (RefusedFor.DOES_NOT_FIT, False)
    assert refused.words == "110 of 100 GiB\n  counted as staying: kept is kept"
    assert not of(effects, StopService)
    assert desk.state("low") is DeskState.READY


def test_of_what_was_just_stopped_memory_may_come_back_before_a_refusal_s10() -> None:
    desk = DeskBench(low(idle_s=100.0), high(), sizes={"high": 60}, total=60)
    desk.ready("low")
    desk.tick(100)
    desk.leak = 40
    desk.stopped("low")
    assert desk.ask("1", "high") == []
    desk.leak = 0
    assert of(desk.tick(10), StartService)


@pytest.mark.parametrize(
    ("declared", "sizes", "going"),
    [
        # The fewest: one large one rather than two small ones of the same priority.
        ((("x", 1, 0), ("y", 1, 0), ("z", 1, 0)), {"x": 20, "y": 20, "z": 40}, {"z"}),
        # The lowest priority of those that suffice.
        ((("x", 2, 0), ("y", 1, 0), ("z", 3, 0)), {"x": 40, "y": 40, "z": 40}, {"y"}),
        # Fewer services come before lower priorities.
        ((("x", 1, 0), ("y", 1, 0), ("z", 3, 0)), {"x": 20, "y": 20, "z": 40}, {"z"}),
        # Then what is loaded again soonest.
        ((("x", 1, 300), ("y", 1, 20), ("z", 1, 100)), {"x": 40, "y": 40, "z": 40}, {"y"}),
        # Where one is not enough, the cheapest two.
        ((("x", 2, 0), ("y", 1, 0), ("z", 1, 0)), {"x": 20, "y": 20, "z": 20}, {"y", "z"}),
    ],
)
def test_the_fewest_go_then_the_lowest_then_what_loads_soonest_s11(
    declared: tuple[tuple[str, int, float], ...], sizes: dict[str, int], going: set[str]
) -> None:
    services = [DeskDeclared(name, priority=priority, load_s=load) for name, priority, load in declared]
    total = sum(sizes.values())
    desk = DeskBench(*services, high(), sizes={**sizes, "high": 40}, total=total)
    desk.ready(*sizes)
    assert {one.service for one in of(desk.ask("1", "high"), StopService)} == going


def test_then_what_is_idle_longest_s11() -> None:
    desk = DeskBench(DeskDeclared("x"), DeskDeclared("y"), DeskDeclared("z"), high(), total=120)
    desk.ready("x", "y", "z")
    for name in "xz":
        desk.ask(name, name, after=1)
        desk.end(name)
    assert {one.service for one in of(desk.ask("1", "high"), StopService)} == {"y"}


def test_of_many_those_that_need_not_go_are_spared_s11() -> None:
    services = [DeskDeclared(f"s{number}", priority=number) for number in range(12)]
    desk = DeskBench(
        *services, high(priority=20), sizes={f"s{number}": 10 for number in range(12)} | {"high": 30}, total=120
    )
    desk.ready(*(one.name for one in services))
    assert {one.service for one in of(desk.ask("1", "high"), StopService)} == {"s0", "s1", "s2"}


def test_one_of_the_same_priority_goes_when_nobody_has_asked_for_it_as_long_as_it_may_be_idle() -> None:
    desk = DeskBench(low(idle_s=90.0), high(priority=1), total=60)
    desk.see("low", DeskState.READY)
    desk.ask("used", "low", after=39)
    desk.end("used", after=1)
    desk.ask("1", "high", after=50)
    for _ in range(8):
        assert not of(desk.tick(4.9), StopService)
    assert one_of(desk.tick(1), StopService).service == "low"
    assert desk.at - 1000 < 131


@pytest.mark.parametrize(
    ("held_by", "words"),
    [
        (low(priority=9, idle_s=2000.0), "low has the priority 9, high 5, and goes after 24m 20s without a request"),
        (low(keep=True, idle_s=2000.0), "low is kept, and goes after 24m 20s without a request"),
        (low(start=StartMode.ALWAYS, priority=5), None),
        (low(keep=True), None),
        (low(start=StartMode.MANUAL), None),
    ],
)
def test_a_higher_priority_what_is_kept_and_what_always_runs_do_not_go(
    held_by: DeskDeclared, words: str | None
) -> None:
    desk = DeskBench(held_by, high(), total=60)
    desk.ready("low")
    effects = desk.ask("1", "high")
    if words is None:
        assert one_of(effects, RefuseRequest).kind is RefusedFor.DOES_NOT_FIT
        return
    effects = []
    while not (effects := desk.tick(10)):
        assert desk.at < 2000
    refused = one_of(effects, RefuseRequest)
    assert refused.words == f"high was not there within 9m 00s: {words}".replace("24m 20s", "23m 20s")
    assert (refused.kind, refused.retry_after_s) == (RefusedFor.WAITED_OUT, 120)


def test_a_pinned_service_does_not_go_until_it_is_let_go_of() -> None:
    desk = two(idle_s=4000.0)
    desk.tell(ServicePinned("low", True))
    assert one_of(desk.ask("1", "high"), RefuseRequest).words.endswith("counted as staying: low is pinned")
    desk.tell(ServicePinned("low", False))
    assert of(desk.ask("2", "high", after=1), StopService)


def test_who_has_waited_for_a_minute_lets_the_busy_one_drain_and_comes_then_s9() -> None:
    desk = two()
    desk.ask("long", "low")
    desk.ask("1", "high", after=1)
    desk.ask("2", "low", after=10)
    assert desk.state("low") is DeskState.READY
    desk.tick(50)
    assert desk.state("low") is DeskState.DRAINING
    assert desk.ask("3", "low", after=5, stream=True) == [], "it takes nothing new"
    told = one_of(desk.tick(5), TellWaiter).words
    assert told == "sparkctl waiting for low: it is being stopped, and is started again"
    assert not desk.end("2", after=5)
    assert one_of(desk.end("long", after=60), StopService).service == "low"
    assert one_of(desk.stopped("low", after=2), StartService).service == "high", "though the other has waited longer"
    assert ForwardRequest("1", "high") in desk.started("high", after=60)


def test_two_of_the_same_priority_that_are_always_asked_take_turns_s9() -> None:
    desk = DeskBench(low(limit=1), high(priority=1), total=60)
    desk.ready("low")
    desk.ask("l0", "low")
    desk.ask("l1", "low", after=1)
    desk.ask("h0", "high", after=1)
    desk.tick(60)
    desk.end("l0", after=1)
    started = one_of(desk.stopped("low", after=1), StartService)
    assert started.service == "high", "l1 has waited longer, but it is the one that went"
    desk.started("high", after=10)
    assert not of(desk.tick(59), StopService), "it stays"
    desk.tick(1)
    assert desk.state("high") is DeskState.DRAINING
    assert one_of(desk.end("h0", after=1), StopService).service == "high"
    assert one_of(desk.stopped("high", after=1), StartService).service == "low"
    assert ForwardRequest("l1", "low") in desk.started("low", after=10)


def test_a_victim_is_never_revived_while_it_drains_and_let_off_when_nobody_waits_s10() -> None:
    desk = two()
    desk.ask("long", "low")
    desk.ask("1", "high")
    desk.tick(60)
    for number in range(5):
        assert desk.ask(f"new{number}", "low", after=1) == []
        assert desk.state("low") is DeskState.DRAINING
    effects = desk.tell(RequestLeft("1"))
    assert [one.id for one in of(effects, ForwardRequest)] == [f"new{number}" for number in range(5)]
    assert desk.state("low") is DeskState.READY
    assert not desk.all(StopService)


def test_a_victim_is_let_off_when_the_guard_closes_or_the_stack_says_otherwise() -> None:
    for event in (GuardClosed("no start"), StackDeclared((low(keep=True), high()))):
        desk = two()
        desk.ask("long", "low")
        desk.ask("1", "high")
        desk.tick(60)
        assert desk.state("low") is DeskState.DRAINING
        desk.tell(event)
        assert desk.state("low") is DeskState.READY


def test_memory_that_became_free_while_a_victim_drained_spares_it() -> None:
    desk = two()
    desk.ask("long", "low")
    desk.ask("1", "high")
    desk.tick(60)
    desk.total = 100
    effects = desk.end("long", after=5)
    assert one_of(effects, StartService).service == "high"
    assert not of(effects, StopService)
    assert desk.state("low") is DeskState.READY


def test_memory_that_comes_back_late_is_waited_for_before_anybody_else_goes() -> None:
    desk = DeskBench(low(), DeskDeclared("other", priority=2), high(), total=120)
    desk.ready("low", "other")
    desk.leak = 40
    assert [one.service for one in of(desk.ask("1", "high"), StopService)] == ["low"]
    desk.leak = 80
    for _ in range(11):
        assert not desk.stopped("low")
        assert not of(desk.tick(10), StopService | StartService)  # type: ignore[arg-type]
    desk.leak = 40
    assert one_of(desk.tick(5), StartService).service == "high"


def test_memory_that_does_not_come_back_is_made_good_by_another_one() -> None:
    desk = DeskBench(low(), DeskDeclared("other", priority=2), high(), total=120)
    desk.ready("low", "other")
    desk.leak = 40
    desk.ask("1", "high")
    desk.leak = 80
    desk.stopped("low")
    while not (stops := of(desk.tick(10), StopService)):
        assert desk.at < 1300
    assert [one.service for one in stops] == ["other"]


def test_what_has_room_beside_one_that_waits_is_started_meanwhile() -> None:
    desk = DeskBench(low(), high(), DeskDeclared("small", priority=1), sizes={"small": 20}, total=60)
    desk.ready("low")
    desk.ask("busy", "low")
    desk.ask("1", "high")
    assert one_of(desk.ask("2", "small", after=1), StartService).service == "small"


def test_what_would_take_the_room_of_one_that_waits_is_not() -> None:
    desk = DeskBench(low(), high(), DeskDeclared("small", priority=1), sizes={"small": 20, "high": 55}, total=60)
    desk.ready("low")
    desk.ask("busy", "low")
    desk.ask("1", "high")
    assert not of(desk.ask("2", "small", after=1), StartService)


def test_room_is_made_for_what_has_to_run_always_and_the_agent_starts_it() -> None:
    desk = DeskBench(low(), high(start=StartMode.ALWAYS), total=60)
    desk.ready("low")
    assert one_of(desk.see("high", DeskState.OFF, wanted=True), StopService).service == "low"
    assert not of(desk.stopped("low", after=2), StartService)
    desk.ask("1", "low")
    assert not of(desk.tick(10), StartService), "its room is kept"
    desk.see("high", DeskState.STARTING)
    assert desk.desk.kept_off == frozenset()


def test_a_stop_that_fails_leaves_the_service_to_its_clients() -> None:
    desk = two()
    desk.ask("1", "high")
    desk.tell(StopFailed("low", "the engine does not answer"), after=5)
    assert desk.ask("2", "low") == [ForwardRequest("2", "low")]
    assert not of(desk.tick(9), StopService)
    assert of(desk.end("2"), StopService)


def test_a_victim_that_dies_while_it_drains_makes_its_room() -> None:
    desk = two()
    desk.ask("long", "low")
    desk.ask("1", "high")
    desk.tick(60)
    desk.end("long")
    desk.effects.clear()
    desk.see("low", DeskState.OFF, after=1)
    desk.tick(1)
    desk.stopped("low")
    desk.tick(1)
    assert [one.service for one in desk.all(StartService)] == ["high"]


def test_idle_counts_from_the_last_byte_of_the_last_answer_s12() -> None:
    desk = two(idle_s=100.0)
    desk.ask("long", "low")
    assert not desk.tick(5000)
    desk.end("long")
    assert not desk.tick(99)
    stop = one_of(desk.tick(1), StopService)
    assert (stop.service, stop.kind) == ("low", StopFor.IDLE)


@pytest.mark.parametrize("how", [{"start": StartMode.ALWAYS}, {"start": StartMode.MANUAL}, {"idle_s": None}])
def test_what_always_runs_or_was_started_by_hand_is_not_stopped_by_idle(how: dict[str, object]) -> None:
    desk = two(**{"idle_s": 100.0} | how)
    assert not of(desk.tick(5000), StopService)


def test_a_start_is_not_interrupted_by_a_stop_for_idle() -> None:
    desk = DeskBench(low(idle_s=100.0), high(), total=100)
    desk.ready("low")
    desk.ask("1", "high", after=10)
    assert not of(desk.tick(500), StopService)
    assert of(desk.started("high"), StopService)
