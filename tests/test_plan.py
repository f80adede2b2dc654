"""Plans: what is admitted, in which order, and how a refusal explains itself."""

from __future__ import annotations

from itertools import permutations
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.memory.pool import Pool
from sparkctl.plan import Action, Change, Need, Plan, Running, Setting, Step, Wanted, describe, make_plan
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

    def resized(change: Change) -> Need:
        context, sequences = change.context or 262_144, change.sequences or 4
        cache = 12 * context * sequences / 262_144 / 4 * (0.5 if change.halved_cache else 1)
        return Need(int((22.7 + cache) * GIB), int((30.7 + cache) * GIB))

    big = Wanted(
        "big", "r", "1", int(34.7 * GIB), int(42.7 * GIB), 0, parts,
        resized=resized, setting=Setting(262_144, 4, may_halve_cache=True),
        variants=lambda: [("bigger", Need(35 * GIB, 45 * GIB)), ("small", Need(9 * GIB, 17 * GIB))],
    )  # fmt: skip
    now = [running("tiny", 2, 1), running("e4b", 20, 18)]
    plan = make_plan([big], now, pool(50), replace=False)
    assert "\n".join(plan.reasons) == (
        "big does not fit: 5.7 GiB are missing when it starts\n"
        "  █████████████████████████████████▓▓aaaaaaaaaaaaaaaaaaaa░░│░░░  █ in use  ▓ claimed  a big  ░ reserve\n"
        "      50.0 GiB  available, of 120.0 GiB\n"
        "  -   10.0 GiB  reserve\n"
        "  -    1.0 GiB  claimed by tiny and not yet taken\n"
        "  -    2.0 GiB  claimed by e4b and not yet taken\n"
        f"  -   42.7 GiB  big while it starts: {parts}\n"
        "  =   -5.7 GiB\n"
        "it fits with: sparkctl up big --set big:args.kv-cache-dtype=fp8\n"
        "it fits with: sparkctl up big --set big:limits.sequences=2\n"
        "it fits with: sparkctl up big --set big:limits.context=137216\n"
        "it fits with: sparkctl up small\n"
        "it fits with: sparkctl down e4b && sparkctl up big"
    )


def test_a_refused_set_says_how_far_it_came_and_what_to_leave_out() -> None:
    services = [wanted("a", 30, 40, priority=9), wanted("b", 30, 39, priority=1), wanted("c", 30, 38)]
    plan = make_plan(services, [], pool(60), replace=False)
    assert list(plan.reasons) == [
        "b does not fit: 19.0 GiB are missing when it starts",
        "  ██████████████████████████aaaaaaaaaaaaabbbbbbbbbbbbb│bbbb░░░░  █ in use  a a  b b  ░ reserve",
        "      60.0 GiB  available, of 120.0 GiB",
        "  -   10.0 GiB  reserve",
        "  -   30.0 GiB  a",
        "  -   39.0 GiB  b while it starts",
        "  =  -19.0 GiB",
        "  after it would start: c",
        "it fits with: sparkctl up a",
    ]


def test_a_refused_replacement_counts_what_comes_back() -> None:
    plan = make_plan([wanted("a", 60, 80, digest="2")], [running("a", 50, 48)], pool(20), replace=True)
    assert list(plan.reasons) == [
        "a does not fit: 22.0 GiB are missing when it starts",
        "  ██████████████████████████████████████████▓aaaaaaaa│aaaaa░░░░  █ in use  ▓ claimed  a a  ░ reserve",
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
    assert plan.reasons[-1] == "it fits with: sparkctl down y x && sparkctl up a"


def test_a_pool_below_its_reserve_admits_nothing_and_refuses_nothing_that_runs() -> None:
    assert not make_plan([wanted("a", 0, 0)], [], pool(5), replace=False).fits
    assert make_plan([wanted("a", 10, 12)], [running("a", 10, 10)], pool(5), replace=False).fits


def test_vllms_own_check_is_predicted() -> None:
    """It wants its fraction of the whole machine free; the reserve is free too by then."""
    asking = Wanted("a", "r", "1", 20 * GIB, 25 * GIB, check_bytes=62 * GIB)
    assert make_plan([asking], [], pool(62), replace=False).steps[0].check_free_bytes == 0
    refused = make_plan([asking], [], pool(60), replace=False)
    assert not refused.fits
    told = "  vLLM itself would refuse: its check at the start wants 62.0 GiB free, its own context included"
    assert told in refused.reasons
    assert refused.reasons[0] == "a does not fit: 2.0 GiB are missing when it starts"


def test_a_combination_is_offered_where_no_single_change_is_enough() -> None:
    def resized(change: Change) -> Need:
        cache = (change.context or 65536) * (change.sequences or 4) // 8192 * GIB // (2 if change.halved_cache else 1)
        return Need(10 * GIB + cache, 18 * GIB + cache)

    services = [
        Wanted(name, name, "1", 42 * GIB, 50 * GIB, resized=resized, setting=Setting(65536, 4, may_halve_cache=True))
        for name in ("a", "b")
    ]
    plan = make_plan(services, [], pool(60), replace=False)
    command = plan.ways[0].command(services, replace=False)
    assert command == (
        "sparkctl up a b --set a:args.kv-cache-dtype=fp8 --set a:limits.context=45056 "
        "--set b:args.kv-cache-dtype=fp8 --set b:limits.context=45056"
    )


# --- properties ------------------------------------------------------------------------------------------------------

SIZES = st.integers(0, 40)
STATES = st.sampled_from(["ready", "starting", "stopped"])


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Wanted], list[Running], Pool, bool]:
    names = draw(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=5, unique=True))
    services = []
    for name in names:
        steady, digest = draw(SIZES), draw(st.sampled_from("12"))
        services.append(
            Wanted(name, "r", digest, steady, steady + draw(SIZES), draw(st.integers(0, 3)), check_bytes=draw(SIZES))
        )
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
        free = available - sum(spoken_for.values())
        if free - service.peak_bytes < memory.reserve_bytes or free < service.check_bytes:
            return False
        available -= service.steady_bytes
    return True


def random_situation(random: Random) -> tuple[list[Wanted], list[Running], Pool, bool]:
    """Return a set, what runs, and a pool that is about large enough."""
    services = []
    for name in random.sample("abcdefg", random.randint(1, 5)):
        steady, check = random.randint(0, 40), random.choice([0, random.randint(0, 120)])
        peak = steady + random.randint(0, 40)
        services.append(Wanted(name, "r", random.choice("12"), steady, peak, random.randint(0, 3), check_bytes=check))
    now = [
        Running(
            name,
            "r",
            random.choice("12"),
            random.choice(["ready", "starting", "stopped"]),
            random.randint(0, 40),
            random.choice([None, random.randint(0, 40)]),
        )
        for name in random.sample("abcdefghi", random.randint(0, 4))
    ]
    return services, now, Pool(300, random.randint(0, 200), random.randint(0, 20)), random.random() < 0.5


def test_10_000_sets_are_admitted_exactly_when_some_order_of_starts_keeps_the_reserve() -> None:
    admitted = 0
    for seed in range(10_000):
        situation = random_situation(Random(seed))  # noqa: S311  (no secret)
        check_against_every_order(situation)
        services, now, memory, replace = situation
        admitted += make_plan(services, now, memory, replace=replace).fits
    assert 2_000 < admitted < 8_000, "the pools are neither always nor never large enough"


def check_against_every_order(situation: tuple[list[Wanted], list[Running], Pool, bool]) -> None:
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
