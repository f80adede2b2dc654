"""One more service beside others: whether it fits, who has to end for it, and with how long a context."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.units import GIB
from sparkctl.memory.pool import Pool
from sparkctl.planning.admission import admit
from sparkctl.planning.beside import CANNOT, Around, Fitted, largest_context, stops
from sparkctl.planning.plan import Running, Wanted


def wanted(name: str, steady: float, priority: int = 0) -> Wanted:
    return Wanted(name, name, "1", int(steady * GIB), int((steady + 2) * GIB), priority)


def running(name: str, claim: float, priority: int | None = 0, state: str = "ready") -> Running:
    return Running(name, name, "1", state, int(claim * GIB), int(claim * GIB), priority)


def beside(*there: Running, free: float, others: tuple[Wanted, ...] = ()) -> Around:
    return Around(others, there, Pool(120 * GIB, int(free * GIB), 10 * GIB))


def test_what_fits_needs_nobody_to_stop() -> None:
    around = beside(running("a", 20), free=60)
    assert around.fits(wanted("new", 40))
    assert stops(wanted("new", 40), around) == ()
    assert around.margin(wanted("new", 40)) == 8 * GIB


def test_the_fewest_stop_and_of_these_the_one_of_the_lowest_priority_that_holds_least() -> None:
    there = (running("important", 30, 9), running("large", 40), running("small", 25), running("tiny", 5))
    around = beside(*there, free=20)
    assert stops(wanted("new", 30), around) == ("small",), "large and important would do as well"
    assert stops(wanted("new", 44), around) == ("large",)
    assert stops(wanted("new", 65), around) == ("large", "small")
    assert stops(wanted("new", 100), around) == ("important", "large", "small")
    assert stops(wanted("new", 140), around) is None


def test_one_whose_priority_nobody_said_stops_last_and_a_stopped_one_gives_nothing_back() -> None:
    there = (running("unknown", 30, None), running("high", 30, 5), running("ended", 60, 0, "stopped"))
    assert stops(wanted("new", 30), beside(*there, free=20)) in {("high",), ("unknown",)}
    lower = (running("unknown", 30, None), running("high", 30, 5), running("low", 30, 1))
    assert stops(wanted("new", 30), beside(*lower, free=20)) == ("low",)


def test_those_that_are_planned_with_it_count_as_those_that_run() -> None:
    around = beside(free=100, others=(wanted("first", 50), wanted("second", 30)))
    assert around.names == ("first", "second")
    assert not around.fits(wanted("new", 20))
    assert stops(wanted("new", 20), around) == ("second",)
    assert around.without({"second"}).names == ("first",)


@given(st.integers(1, 60), st.lists(st.integers(1, 40), max_size=4), st.integers(5, 110))
def test_no_smaller_set_would_be_enough(asked: int, there: list[int], free: int) -> None:
    around = beside(*(running(str(index), claim) for index, claim in enumerate(there)), free=free)
    found, one = stops(wanted("new", asked), around), wanted("new", asked)
    assert around.fits(one) == admit([one], around.running, around.pool, replace=False).fits
    enough = [
        chosen
        for count in range(len(there) + 1)
        for chosen in combinations(around.names, count)
        if around.without(chosen).fits(one)
    ]
    assert (found is None) == (not enough)
    assert found is None or (len(found) == len(enough[0]) and around.without(found).fits(one))


@given(st.integers(0, 300_000), st.integers(1, 262_144), st.integers(1, 400), st.booleans())
def test_the_largest_context_is_the_largest_however_the_cache_grows(
    room: int, longest: int, window: int, known: bool
) -> None:
    def margin(context: int) -> int:
        grows = context + (context // 997) ** 2 + min(context, window)
        return room - grows if context % 7 or room > grows else CANNOT

    own = Fitted(2048, margin(2048)) if known and longest >= 2048 and margin(2048) >= 0 else None
    found = largest_context(margin, longest, 1024, own)
    whole = [context for context in (longest, *range(1024, longest, 1024)) if margin(context) >= 0]
    assert found == max([*whole, *([2048] if own else [])], default=0)
