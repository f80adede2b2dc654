"""Plans: what is admitted, in which order, and how a refusal explains itself."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.memory.pool import Pool, Smaller
from sparkctl.plan import Action, Plan, Running, Step, Wanted, describe, make_plan
from sparkctl.units import GIB


def wanted(name: str, steady: float, peak: float, *, digest: str = "1", priority: int = 0, parts: str = "") -> Wanted:
    return Wanted(name, f"{name}-recipe", digest, int(steady * GIB), int(peak * GIB), priority, parts)


def running(name: str, claim: float, resident: float | None, *, state: str = "ready", digest: str = "1") -> Running:
    held = None if resident is None else int(resident * GIB)
    return Running(name, f"{name}-recipe", digest, state, int(claim * GIB), held)


def pool(available: float, reserve: float = 10) -> Pool:
    return Pool(120 * GIB, int(available * GIB), int(reserve * GIB))


def actions(plan: Plan) -> list[tuple[Action, str]]:
    return [(step.action, step.service) for step in plan.steps]


def test_the_one_whose_start_takes_most_beyond_what_it_keeps_goes_first() -> None:
    plan = make_plan([wanted("calm", 30, 31), wanted("wild", 20, 50)], [], pool(91), replace=False)
    assert plan.fits
    assert plan.order == ("wild", "calm")
    assert describe(plan) == [["1", "start", "wild", "31.0"], ["2", "start", "calm", "30.0"]]


def test_a_higher_priority_goes_first_among_equals_and_nothing_else_changes() -> None:
    services = [wanted("b", 10, 15), wanted("a", 10, 15, priority=5)]
    assert make_plan(services, [], pool(91), replace=False).order == ("a", "b")


def test_what_runs_as_wanted_is_kept_waited_for_or_started_again() -> None:
    services = [wanted("up", 10, 15), wanted("loading", 10, 15), wanted("dead", 10, 15), wanted("new", 10, 12)]
    now = [
        running("up", 10, 10),
        running("loading", 10, 4, state="starting"),
        running("dead", 10, None, state="stopped"),
    ]
    assert actions(make_plan(services, now, pool(91), replace=False)) == [
        (Action.KEEP, "up"),
        (Action.WAIT, "loading"),
        (Action.START, "dead"),
        (Action.START, "new"),
    ]


def test_what_runs_otherwise_is_changed_and_no_refusal_unless_it_may_be_replaced() -> None:
    services, now = [wanted("a", 60, 80, digest="2")], [running("a", 50, 50)]
    plan = make_plan(services, now, pool(20), replace=False)
    assert plan.fits
    assert plan.steps == (Step(Action.CHANGED, "a"),)
    assert plan.steps[0].needs_replace
    refused = make_plan(services, now, pool(20), replace=True)
    assert not refused.fits
    assert actions(refused) == [(Action.REPLACE, "a")]
    assert make_plan(services, now, pool(40), replace=True).steps == (Step(Action.REPLACE, "a", 0),)


def test_a_replacement_that_gives_back_more_than_it_takes_makes_room_for_the_rest() -> None:
    services = [wanted("new", 20, 25), wanted("shrinks", 10, 15, digest="2")]
    plan = make_plan(services, [running("shrinks", 40, 40)], pool(12), replace=True)
    assert plan.fits
    assert plan.order == ("shrinks", "new")


def test_a_claim_that_is_not_yet_taken_is_charged_once() -> None:
    services = [wanted("a", 10, 20)]
    loading = running("other", 40, 15, state="starting")
    assert not make_plan(services, [loading], pool(54.9), replace=False).fits
    assert make_plan(services, [loading], pool(55), replace=False).fits
    unknown = running("other", 40, None, state="starting")
    assert not make_plan(services, [unknown], pool(69.9), replace=False).fits
    assert make_plan(services, [unknown], pool(70), replace=False).fits
    for settled in (running("other", 40, None), running("other", 40, 45), running("other", 40, None, state="stopped")):
        assert make_plan(services, [settled], pool(30), replace=False).fits


def test_a_refusal_shows_its_sum_and_the_ways_out() -> None:
    parts = "weights 15.7 + KV cache 12.0 + host processes 7.0 = 34.7 GiB, 42.7 GiB while it starts"
    big = Wanted(
        "big", "r", "1", int(34.7 * GIB), int(42.7 * GIB), 0, parts,
        (
            Smaller("limits.context=131072", int(29 * GIB), int(39 * GIB)),
            Smaller("limits.context=65536", int(26 * GIB), int(34 * GIB)),
            Smaller("limits.context=32768", int(25 * GIB), int(33 * GIB)),
            Smaller("limits.sequences=2", int(29 * GIB), int(36.5 * GIB)),
        ),
    )  # fmt: skip
    now = [running("tiny", 2, 1), running("e4b", 20, 18)]
    plan = make_plan([big], now, pool(50), replace=False)
    assert "\n".join(plan.reasons) == (
        "big does not fit: 5.7 GiB are missing when it starts\n"
        "      50.0 GiB  available, of 120.0 GiB\n"
        "  -   10.0 GiB  reserve\n"
        "  -    1.0 GiB  claimed by tiny and not yet taken\n"
        "  -    2.0 GiB  claimed by e4b and not yet taken\n"
        f"  -   42.7 GiB  big while it starts: {parts}\n"
        "  =   -5.7 GiB\n"
        "it fits with limits.context=65536 for big\n"
        "it fits with limits.sequences=2 for big\n"
        "it fits after sparkctl down e4b"
    )


def test_a_refused_set_says_how_far_it_came_and_what_to_leave_out() -> None:
    services = [wanted("a", 30, 40, priority=9), wanted("b", 30, 39, priority=1), wanted("c", 30, 38)]
    plan = make_plan(services, [], pool(60), replace=False)
    assert list(plan.reasons) == [
        "b does not fit: 19.0 GiB are missing when it starts",
        "      60.0 GiB  available, of 120.0 GiB",
        "  -   10.0 GiB  reserve",
        "  -   30.0 GiB  a",
        "  -   39.0 GiB  b while it starts",
        "  =  -19.0 GiB",
        "  after it would start: c",
        "it fits without b, c",
    ]


def test_a_refused_replacement_counts_what_comes_back() -> None:
    plan = make_plan([wanted("a", 60, 80, digest="2")], [running("a", 50, 48)], pool(20), replace=True)
    assert list(plan.reasons) == [
        "a does not fit: 22.0 GiB are missing when it starts",
        "      20.0 GiB  available, of 120.0 GiB",
        "  -   10.0 GiB  reserve",
        "  -    2.0 GiB  claimed by a and not yet taken",
        "  +   50.0 GiB  given back by the a that is replaced",
        "  -   80.0 GiB  a while it starts",
        "  =  -22.0 GiB",
        "no smaller setting and no service less makes it fit",
    ]


def test_several_running_services_are_named_together_when_one_is_not_enough() -> None:
    now = [running("x", 10, 10), running("y", 12, 12), running("z", 5, 5)]
    plan = make_plan([wanted("a", 30, 40)], now, pool(30), replace=False)
    assert plan.reasons[-1] == "it fits after sparkctl down y x"


def test_a_pool_below_its_reserve_admits_nothing_and_refuses_nothing_that_runs() -> None:
    assert not make_plan([wanted("a", 0, 0)], [], pool(5), replace=False).fits
    assert make_plan([wanted("a", 10, 12)], [running("a", 10, 10)], pool(5), replace=False).fits


# --- properties ------------------------------------------------------------------------------------------------------

SIZES = st.integers(0, 40)
STATES = st.sampled_from(["ready", "starting", "stopped"])


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Wanted], list[Running], Pool, bool]:
    names = draw(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=5, unique=True))
    services = []
    for name in names:
        steady, digest = draw(SIZES), draw(st.sampled_from("12"))
        services.append(Wanted(name, "r", digest, steady, steady + draw(SIZES), draw(st.integers(0, 3))))
    now = [
        Running(name, "r", draw(st.sampled_from("12")), draw(STATES), draw(SIZES), draw(st.none() | SIZES))
        for name in draw(st.lists(st.sampled_from("abcdefghi"), max_size=4, unique=True))
    ]
    return services, now, Pool(300, draw(st.integers(0, 200)), draw(st.integers(0, 20))), draw(st.booleans())


def started(service: Wanted, now: dict[str, Running], *, replace: bool) -> bool:
    there = now.get(service.name)
    return there is None or there.state == "stopped" or (replace and there.digest != service.digest)


def survives(order: list[Wanted], now: list[Running], memory: Pool) -> bool:
    """Walk the starts as an engine would, and look at every moment of each."""
    there = {service.name: service for service in now}
    spoken_for = {service.name: service.outstanding_bytes for service in now}
    available = memory.available_bytes
    for service in order:
        old = there.pop(service.name, None)
        if old is not None:
            available += old.held_bytes
            spoken_for.pop(old.name)
        if available - sum(spoken_for.values()) - service.peak_bytes < memory.reserve_bytes:
            return False
        available -= service.steady_bytes
    return True


@settings(max_examples=2000)
@given(situations())
def test_a_set_is_admitted_exactly_when_some_order_of_starts_keeps_the_reserve(
    situation: tuple[list[Wanted], list[Running], Pool, bool],
) -> None:
    services, now, memory, replace = situation
    plan = make_plan(services, now, memory, replace=replace)
    there = {service.name: service for service in now}
    starts = [service for service in services if started(service, there, replace=replace)]
    assert sorted(plan.order) == sorted(service.name for service in starts)
    chosen = sorted(starts, key=lambda service: plan.order.index(service.name))
    assert plan.fits == survives(chosen, now, memory)
    assert plan.fits == any(survives(list(order), now, memory) for order in permutations(starts))
    assert plan.fits == (not plan.reasons)


@settings(max_examples=1000)
@given(situations())
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(
    situation: tuple[list[Wanted], list[Running], Pool, bool],
) -> None:
    services, now, memory, _ = situation
    plan = make_plan(services, now, memory, replace=True)
    done = [Running(one.name, one.recipe, one.digest, "ready", one.steady_bytes, one.steady_bytes) for one in services]
    again = make_plan(services, done, memory, replace=True)
    assert again.fits
    assert {step.action for step in again.steps} == {Action.KEEP}
    assert plan == make_plan(services, now, memory, replace=True)


@settings(max_examples=1000)
@given(situations(), st.integers(0, 50))
def test_more_memory_never_turns_a_plan_into_a_refusal(
    situation: tuple[list[Wanted], list[Running], Pool, bool], more: int
) -> None:
    services, now, memory, replace = situation
    larger = Pool(memory.total_bytes, memory.available_bytes + more, memory.reserve_bytes)
    if make_plan(services, now, memory, replace=replace).fits:
        assert make_plan(services, now, larger, replace=replace).fits
