"""Who starts before whom: by `after`, by priority, and by the room that each start has, against every order."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.planning.admission import StartupCheck
from sparkctl.planning.box.declared import DeclaredService, Restarts, StartMode
from sparkctl.planning.box.order import circles, is_in_order, start_order
from sparkctl.planning.box.waiting import WaitingStart, in_turn
from sparkctl.planning.plan import Running, Wanted, make_plan
from tests.planning.test_plan import pool, wanted
from tests.support.thorough import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = "abcde"
FEW = NAMES[:4]


def service(name: str, priority: int = 0, after: Sequence[str] = ()) -> DeclaredService:
    restarts = Restarts(10, 300, 3, 1800)
    return DeclaredService(name, StartMode.ALWAYS, priority, keep=False, after=tuple(after), idle_s=None, stays_s=60,
                           restarts=restarts)  # fmt: skip


def names(services: Sequence[DeclaredService]) -> list[str]:
    return [one.name for one in services]


@st.composite
def turns(draw: st.DrawFn) -> list[WaitingStart]:
    """Return up to five starts, some of which give back more than they take, and some of which wait for others."""
    order = draw(st.permutations(NAMES[: draw(st.integers(1, 5))]))
    found = []
    for place, name in enumerate(order):
        after = draw(st.sets(st.sampled_from(order[:place]), max_size=2)) if place else set()
        freed, steady = draw(st.integers(0, 9)), draw(st.integers(0, 9))
        needed = draw(st.none() | st.integers(steady, steady + 12))
        found.append(WaitingStart(name, tuple(after), needed, freed, steady))
    return draw(st.permutations(found))


def has_room(order: Sequence[WaitingStart], available: int) -> bool:
    for turn in order:
        available += turn.freed_bytes
        if turn.needed_bytes is not None and available < turn.needed_bytes:
            return False
        available -= turn.steady_bytes
    return True


# --- as declared -----------------------------------------------------------------------------------------------------


def test_after_comes_first_then_the_higher_priority_then_as_written() -> None:
    services = [service("last", 9, ["slow"]), service("b"), service("slow", -1), service("a"), service("high", 5)]
    assert names(start_order(services)) == ["high", "b", "a", "slow", "last"]
    assert names(start_order([service("a", after=["elsewhere"]), service("b", 1)])) == ["b", "a"]


@given(st.data())
@settings(max_examples=examples(100), deadline=None)
def test_no_service_starts_before_one_that_it_is_after_and_none_is_lost(data: st.DataObject) -> None:
    after = data.draw(st.fixed_dictionaries({name: st.sets(st.sampled_from(FEW), max_size=2) for name in FEW}))
    services = [service(name, data.draw(st.integers(0, 2)), sorted(waits)) for name, waits in after.items()]
    ordered = start_order(services)
    assert sorted(names(ordered)) == list(FEW)
    found = circles({name: sorted(waits) for name, waits in after.items()})
    assert (found == []) == any(is_in_order(order) for order in permutations(services))
    assert is_in_order(ordered) == (found == [])
    for circle in found:
        assert circle[0] == min(circle, key=list(after).index)
        assert all(other in after[one] for one, other in zip(circle, (*circle[1:], circle[0]), strict=True))


def test_a_circle_is_shown_as_it_goes_round() -> None:
    assert circles({"a": ["b"], "b": ["c"], "c": ["b"], "d": ["d"], "e": []}) == [("b", "c"), ("d",)]


def test_a_chain_as_long_as_a_file_is_no_matter() -> None:
    many = 20_000
    after = {f"s{number}": [f"s{number - 1}"] if number else [] for number in reversed(range(many))}
    assert circles(after) == []
    assert len(circles(after | {"s0": [f"s{many - 1}"]})[0]) == many
    assert names(start_order([service(name, after=waits) for name, waits in after.items()]))[:2] == ["s0", "s1"]


# --- as there is room ------------------------------------------------------------------------------------------------


@given(turns(), st.integers(0, 40))
@settings(max_examples=examples(300), deadline=None)
def test_an_order_is_found_where_there_is_one(given_turns: list[WaitingStart], available: int) -> None:
    possible = [
        order
        for order in permutations(given_turns)
        if has_room(order, available)
        and all(one.name not in other.after for place, other in enumerate(order) for one in order[place + 1 :])
    ]
    found = in_turn(given_turns, available)
    assert (found is not None) == bool(possible)
    assert found is None or tuple(given_turns[place] for place in found) in possible


def test_what_waits_starts_later_although_it_needs_the_most() -> None:
    services = [wanted("wild", 20, 50)._replace(after=("calm",)), wanted("calm", 30, 31)]
    plan = make_plan(services, [], pool(91), replace=False)
    assert (plan.fits, plan.order) == (True, ("calm", "wild"))
    # Alone each order fits in 70 GiB; with the reserve of 10, calm and then the peak of wild take 90.
    refused = make_plan(services, [], pool(89), replace=False)
    assert make_plan([one._replace(after=()) for one in services], [], pool(89), replace=False).fits
    assert (refused.fits, refused.order) == (False, ("calm", "wild"))
    assert refused.reasons[0] == "wild does not fit: 1.0 GiB are missing when it starts"


def test_a_replacement_that_makes_room_waits_too() -> None:
    now = [
        Running("old", "old-recipe", "1", "ready", wanted("old", 40, 45).steady_bytes, wanted("", 40, 40).steady_bytes)
    ]
    shrinks = wanted("old", 10, 15, digest="2")
    assert make_plan([wanted("new", 20, 25), shrinks], now, pool(40), replace=True).order == ("old", "new")
    waits = [wanted("new", 20, 25), shrinks._replace(after=("new",))]
    assert make_plan(waits, now, pool(40), replace=True).order == ("new", "old")
    assert not make_plan(waits, now, pool(34), replace=True).fits
    assert make_plan([waits[0], shrinks], now, pool(34), replace=True).fits


def test_a_check_of_vllm_and_after_together_decide_the_order() -> None:
    picky = Wanted("picky", "r", "1", 10, 11, check=StartupCheck(0.5, 0))
    other = Wanted("other", "r", "1", 40, 60, after=("picky",))
    host = pool(0)._replace(total_bytes=200, available_bytes=120, reserve_bytes=0)
    assert make_plan([other, picky], [], host, replace=False).order == ("picky", "other")
    behind = [other._replace(after=()), picky._replace(after=("other",))]
    assert not make_plan(behind, [], host, replace=False).fits


def test_of_a_large_stack_an_order_is_found_at_once() -> None:
    services = [
        wanted(f"s{place}", 1, 1 + place % 5)._replace(after=(f"s{place - 1}",) if place % 3 else ())
        for place in range(64)
    ]
    plan = make_plan(services, [], pool(80), replace=False)
    assert plan.fits
    assert is_in_order([next(one for one in services if one.name == name) for name in plan.order])
