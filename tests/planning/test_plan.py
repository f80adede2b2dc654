"""Plans: what is admitted, in which order, and how a refusal explains itself."""

from __future__ import annotations

from sparkctl.base.units import GIB
from sparkctl.memory.pool import Pool
from sparkctl.planning.admission import StartupCheck
from sparkctl.planning.plan import Action, Plan, Running, Step, Wanted, describe, make_plan
from sparkctl.planning.refusal import Holder


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
    assert describe(plan) == [["1", "start", "wild", "31.0", ""], ["2", "start", "calm", "30.0", ""]]


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


def test_a_refusal_shows_its_sum_in_numbers_and_in_segments() -> None:
    parts = "weights 15.7 + KV cache 12.0 + host processes 7.0 = 34.7 GiB, 42.7 GiB while it starts"
    now = [running("tiny", 2, 1), running("e4b", 20, 18)]
    plan = make_plan([wanted("big", 34.7, 42.7, parts=parts)], now, pool(50), replace=False)
    assert "\n".join(plan.reasons) == (
        "big does not fit: 5.7 GiB are missing when it starts\n"
        "      50.0 GiB  available, of 120.0 GiB\n"
        "  -   10.0 GiB  reserve\n"
        "  -    1.0 GiB  claimed by tiny and not yet taken\n"
        "  -    2.0 GiB  claimed by e4b and not yet taken\n"
        f"  -   42.7 GiB  big while it starts: {parts}\n"
        "  =   -5.7 GiB"
    )
    assert [(segment.part, segment.name, round(segment.bytes / GIB, 1)) for segment in plan.segments] == [
        (Holder.FOREIGN, "", 51.0),
        (Holder.RUNNING, "tiny", 1.0),
        (Holder.RUNNING, "e4b", 18.0),
        (Holder.CLAIMED, "tiny", 1.0),
        (Holder.CLAIMED, "e4b", 2.0),
        (Holder.WANTED, "big", 37.0),
        (Holder.MISSING, "", 5.7),
        (Holder.RESERVE, "", 10.0),
    ]


def test_a_refused_set_says_how_far_it_came() -> None:
    services = [wanted("a", 30, 40, priority=9), wanted("b", 30, 39, priority=1), wanted("c", 30, 38)]
    assert make_plan(services, [], pool(60), replace=False).reasons == (
        "b does not fit: 19.0 GiB are missing when it starts",
        "      60.0 GiB  available, of 120.0 GiB",
        "  -   10.0 GiB  reserve",
        "  -   30.0 GiB  a",
        "  -   39.0 GiB  b while it starts",
        "  =  -19.0 GiB",
        "  after it would start: c",
    )


def test_a_refused_replacement_counts_what_comes_back() -> None:
    plan = make_plan([wanted("a", 60, 80, digest="2")], [running("a", 50, 48)], pool(20), replace=True)
    assert plan.reasons == (
        "a does not fit: 22.0 GiB are missing when it starts",
        "      20.0 GiB  available, of 120.0 GiB",
        "  -   10.0 GiB  reserve",
        "  -    2.0 GiB  claimed by a and not yet taken",
        "  +   50.0 GiB  given back by the a that is replaced",
        "  -   80.0 GiB  a while it starts",
        "  =  -22.0 GiB",
    )
    assert plan.ways == ()


def test_a_pool_below_its_reserve_admits_nothing_and_refuses_nothing_that_runs() -> None:
    refused = make_plan([wanted("a", 0, 0)], [], pool(5), replace=False)
    assert not refused.fits
    assert "  the reserve is larger than what is available: nothing can start" in refused.reasons
    assert make_plan([wanted("a", 10, 12)], [running("a", 10, 10)], pool(5), replace=False).fits


def test_a_service_that_still_starts_may_take_its_peak_beside_another_but_not_once_it_was_waited_for() -> None:
    loading = running("b", 20, 5, state="starting")
    loading = loading._replace(peak_bytes=30 * GIB)
    # 15 GiB of its claim are not yet taken, 25 up to its peak.
    assert make_plan([wanted("a", 10, 12)], [loading], pool(47), replace=False).fits
    assert not make_plan([wanted("a", 10, 12)], [loading], pool(46.9), replace=False).fits
    assert make_plan([wanted("a", 10, 12), wanted("b", 20, 30)], [loading], pool(37), replace=False).fits
    ready = loading._replace(state="ready")
    assert make_plan([wanted("a", 10, 12)], [ready], pool(37), replace=False).fits


def test_what_is_in_use_by_others_is_what_no_service_holds() -> None:
    now = [running("a", 20, 18), running("b", 10, None), running("c", 10, 5, state="stopped")]
    assert make_plan([], now, pool(70), replace=False).foreign_bytes == 22 * GIB
    assert make_plan([], [running("a", 60, 60)], pool(70), replace=False).foreign_bytes == 0


# --- vLLM's own check ------------------------------------------------------------------------------------------------


def checked(name: str, fraction: float, *, steady: float = 10, peak: float = 12, old: bool = False) -> Wanted:
    return wanted(name, steady, peak)._replace(check=StartupCheck(fraction, 2 * GIB, counts_cache=old))


def test_vllms_own_check_is_predicted_and_may_use_the_reserve() -> None:
    passes = make_plan([checked("a", 0.5)], [], pool(62), replace=False)
    assert passes.fits
    assert passes.steps[0].check_free_bytes == 0
    refused = make_plan([checked("a", 0.5)], [], pool(60), replace=False)
    assert refused.reasons == (
        "a does not fit: vLLM itself would refuse: 2.0 GiB are missing for its own check at the start",
        "      60.0 GiB  available, of 120.0 GiB",
        "  -    2.0 GiB  taken by a itself before it checks",
        "  -   60.0 GiB  wanted free by its check: gpu-memory-utilization 0.50 of 120.0 GiB",
        "  =   -2.0 GiB",
    )
    assert Holder.RESERVE not in {segment.part for segment in refused.segments}


def test_the_check_asks_for_whole_bytes_of_the_machine_that_is_there() -> None:
    odd = Pool(127600748 * 1024, 127600748 * 1024, 0)
    assert StartupCheck(0.17, 5).wants(odd) == 22_212_738_212 + 5  # 22,212,738,211.84 of 127600748 kB


def test_an_old_vllm_takes_the_page_cache_for_used() -> None:
    cached = pool(70)._replace(cache_bytes=30 * GIB)
    assert make_plan([checked("a", 0.5)], [], cached, replace=False).fits
    refused = make_plan([checked("a", 0.5, old=True)], [], cached, replace=False)
    assert refused.reasons[1:3] == (
        "      70.0 GiB  available, of 120.0 GiB; 30.0 GiB of it are page cache",
        "  -   30.0 GiB  page cache, which the vLLM of a takes for used",
    )
    assert refused.ways[0].drop_cache


def test_a_check_is_met_by_starting_its_service_first_although_another_order_needs_less() -> None:
    services = [checked("picky", 0.8, steady=10, peak=11), wanted("wild", 20, 50)]
    plan = make_plan(services, [], pool(100), replace=False)
    assert plan.fits
    assert plan.order == ("picky", "wild")
    assert make_plan([wanted("picky", 10, 11), services[1]], [], pool(100), replace=False).order == ("wild", "picky")


def test_what_is_not_known_of_a_service_is_said_and_counted_as_what_it_holds() -> None:
    def plan(state: str = "ready", claim_bytes: int | None = None, **known: int) -> Plan:
        one = Running("a", "a", "d", state, claim_bytes, **known)
        return make_plan([wanted("b", 20, 30)], [one], pool(60), replace=False)

    assert plan(resident_bytes=5 * GIB).unknown == (
        "the claim of a is not known: it counts as the 5.0 GiB that its processes hold",
    )
    assert plan(resident_bytes=5 * GIB).foreign_bytes == plan(claim_bytes=5 * GIB, resident_bytes=5 * GIB).foreign_bytes
    (nothing,) = plan().unknown
    assert nothing.startswith("the claim of a is not known, nor what its processes hold: nothing is counted")
    starting = plan(state="starting", resident_bytes=GIB, peak_bytes=9 * GIB)
    assert starting.unknown[0].endswith("hold; what it still takes for its start is not known")
    assert (
        starting.steps[0].free_bytes
        == plan(state="starting", claim_bytes=9 * GIB, resident_bytes=GIB).steps[0].free_bytes
    )
    assert plan(state="starting", claim_bytes=9 * GIB).unknown == (
        "what a takes at most while it starts is not known: its claim is counted",
    )
    assert plan(claim_bytes=9 * GIB).unknown == plan(state="stopped").unknown == ()


def test_a_step_says_what_has_changed() -> None:
    one = wanted("a", 20, 30)
    runs = Running("a", "a", one.digest, "ready", 20 * GIB, 20 * GIB, changes=("changed: secret KEY",))
    for allowed, action in ((False, Action.CHANGED), (True, Action.REPLACE)):
        (step,) = make_plan([one], [runs], pool(60), replace=allowed).steps
        assert (step.action, step.changes) == (action, ("changed: secret KEY",))


def test_services_that_start_together_are_not_all_at_their_most_at_once() -> None:
    """Three with a middle of 20 GiB, each at most 4 more: 72 GiB one by one, and 60 and the root of 48 together."""
    three = [wanted(name, 24, 24)._replace(spread_bytes=4 * GIB) for name in "abc"]
    fits = make_plan(three, [], Pool(120 * GIB, 77 * GIB, 10 * GIB), replace=False)
    assert fits.fits
    short = make_plan(three, [], Pool(120 * GIB, 76 * GIB, 10 * GIB), replace=False)
    assert short.reasons[-2:] == (
        "  +    5.1 GiB  because not all of them take their most at once",
        "  =   -0.9 GiB",
    )
    missing = next(segment.bytes for segment in short.segments if segment.part is Holder.MISSING)
    assert sum(segment.bytes for segment in short.segments) == 120 * GIB + missing
