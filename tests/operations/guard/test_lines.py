"""The guard's decision: what it does on each look, and what holds whatever memory does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.operations.guard.alone.lines import (
    ASK,
    BELOW_ACT,
    BELOW_FLOOR,
    FASTEST,
    GIB,
    KILL,
    NOTHING,
    SOON_AT_FLOOR,
    Judge,
    Lines,
    look_again_s,
)
from tests.support.thorough import examples

if TYPE_CHECKING:
    from collections.abc import Iterable

LINES = Lines()
"""10, 6 and 4 GiB."""
FULL = 20 * GIB


class Seen(NamedTuple):
    """A look, and what was said of it."""

    now: float
    available: int
    strike: int
    why: int
    closed: bool
    reclaim: bool


def looks(
    levels: Iterable[tuple[float, float]], *, lines: Lines = LINES, free: float = 20.0, starting: bool = False
) -> list[Seen]:
    """Judge looks at these moments, of so many GiB available."""
    judge = Judge(lines)
    seen = []
    for now, level in levels:
        verdict = judge.look(now, int(level * GIB), int(free * GIB), starting=starting)
        seen.append(Seen(now, int(level * GIB), verdict.strike, verdict.why, verdict.closed, verdict.reclaim))
    return seen


def steady(level: float, seconds: float, begin: float = 0.0) -> list[tuple[float, float]]:
    return [(begin + tenth / 10, level) for tenth in range(int(seconds * 10))]


def strikes(seen: list[Seen]) -> list[tuple[float, int, int]]:
    return [(one.now, one.strike, one.why) for one in seen if one.strike]


@pytest.mark.parametrize("wrong", [(6, 6, 4), (10, 4, 6), (10, 6, 6), (4, 6, 10), (10, 6, 0), (10, 6, -1)], ids=str)
def test_lines_in_another_order_are_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected reserve > act > floor > 0, found reserve"):
        Lines(*(value * GIB for value in wrong))


@pytest.mark.parametrize(
    ("available", "seconds"), [(200, 1.0), (20, 1.0), (13, 0.5), (9.5, 0.25), (7, 0.1), (6, 0.1), (1, 0.1), (0, 0.1)]
)
def test_it_looks_again_before_the_fastest_fall_is_at_the_act_line(available: float, seconds: float) -> None:
    assert look_again_s(int(available * GIB), LINES) == pytest.approx(seconds)


def test_below_the_reserve_admission_is_closed_until_there_was_more_for_half_a_minute() -> None:
    seen = looks([*steady(10.5, 1), *steady(9.9, 1, 1), *steady(11.9, 60, 2), *steady(12.1, 29.9, 62)])
    assert [one.closed for one in seen] == [False] * 10 + [True] * (len(seen) - 10)
    assert not strikes(seen)
    again = looks([(0, 9), *steady(12.1, 20, 1), (21, 11.9), *steady(12.1, 30.2, 22)])
    assert [one.now for one in again if not one.closed] == pytest.approx([52.0, 52.1])


def test_what_stays_below_the_act_line_is_asked_to_end_at_the_third_look_and_killed_when_it_does_not() -> None:
    seen = looks([*steady(7, 1), *steady(5.9, 12, 1)])
    # The step itself counts as 1.1 GiB/s over the second that it lies in: the floor would be 1.7 s away.
    assert strikes(seen)[0] == (1.0, KILL, SOON_AT_FLOOR)
    slowly = looks([*steady(6.05, 1), *steady(5.99, 6.2, 1)])
    assert strikes(slowly) == [
        (pytest.approx(1.2), ASK, BELOW_ACT),
        (pytest.approx(6.2), KILL, BELOW_ACT),
    ]


def test_what_will_be_at_the_floor_soon_is_not_looked_at_a_second_time() -> None:
    fall = [(tenth / 10, 8 - 0.3 * tenth) for tenth in range(8)]  # 3 GiB/s
    assert strikes(looks(fall)) == [(pytest.approx(0.7), KILL, SOON_AT_FLOOR)]


@pytest.mark.parametrize("rate", [2, 4, 10, 14])
def test_a_fall_that_begins_suddenly_is_taken_for_what_it_is_at_its_first_look(rate: int) -> None:
    """Over the whole second it would be a tenth of that, and the service would have its three looks."""
    begun = [(2 + tenth / 10, 6.05 - rate * tenth / 10) for tenth in range(1, 4)]
    found = strikes(looks([*steady(6.05, 2.05), *begun]))
    assert found[0][:2] == (pytest.approx(2.1), KILL)


def test_below_the_floor_one_look_is_enough_and_then_memory_has_time_to_come_back() -> None:
    seen = looks([(0, 20), (1, 3.9), *steady(3.9, 10, 1.1)])
    assert strikes(seen)[0] == (1, KILL, BELOW_FLOOR)
    assert strikes(seen)[1][0] == pytest.approx(6.0, abs=0.11)


def test_a_floor_that_is_crossed_again_is_acted_on_at_once() -> None:
    seen = looks([(0, 20), (1, 3.9), (1.1, 4.1), (1.2, 3.8), (1.3, 3.7)])
    assert [now for now, _, _ in strikes(seen)] == [1, 1.2]


def test_while_memory_comes_back_nobody_else_has_to_end() -> None:
    rising = [(1.1 + tenth / 10, 3.0 + 0.02 * tenth) for tenth in range(100)]  # 0.2 GiB/s, below the act line for long
    assert len(strikes(looks([(0, 20), (1, 3.0), *rising]))) == 1


def test_what_gave_back_what_it_was_asked_for_is_asked_again_another_day() -> None:
    seen = looks([*steady(6.05, 1), *steady(5.99, 1, 1), *steady(8, 60, 2), *steady(6.05, 2, 62), *steady(5.99, 1, 64)])
    assert [strike for _, strike, _ in strikes(seen)] == [ASK, ASK]


def test_caches_are_dropped_once_a_second_while_a_service_starts_and_large_blocks_are_few() -> None:
    seen = looks(steady(50, 3), free=7.9, starting=True)
    assert [one.now for one in seen if one.reclaim] == pytest.approx([0.0, 1.0, 2.0])
    assert not any(one.reclaim for one in looks(steady(50, 3), free=7.9))
    assert not any(one.reclaim for one in looks(steady(50, 3), free=8.1, starting=True))


def test_a_strike_that_hit_nobody_holds_nothing_back() -> None:
    judge = Judge(LINES)
    for number in range(3):
        assert judge.look(number / 10, 3 * GIB, 0, starting=False).strike == KILL
        judge.missed()


def test_the_moment_of_the_crossing_is_told_from_the_two_looks_around_it() -> None:
    judge = Judge(LINES)
    judge.look(1.0, 7 * GIB, 0, starting=False)
    assert judge.look(1.1, 5 * GIB, 0, starting=False).crossed_s == pytest.approx(1.05)


MOMENTS = st.lists(
    st.tuples(st.floats(0.1, 2.0), st.integers(0, FULL), st.integers(0, FULL), st.booleans()), min_size=1, max_size=60
)


@given(MOMENTS)
@settings(max_examples=examples(400), deadline=None)
def test_whatever_memory_does(moments: list[tuple[float, int, int, bool]]) -> None:
    """It never acts above the act line; below the floor it acts or has just acted; two kills have a reason."""
    judge, now = Judge(LINES), 0.0
    killed_s: float | None = None
    over_floor = False
    for wait, available, free, starting in moments:
        now += wait
        verdict = judge.look(now, available, free, starting=starting)
        if verdict.strike != NOTHING:
            assert available < LINES.act
            assert verdict.crossed_s <= now
        if available < LINES.reserve:
            assert verdict.closed
        crossed = over_floor and available < LINES.floor
        if verdict.strike == KILL:
            assert killed_s is None or now - killed_s >= 5 or crossed
            killed_s, over_floor = now, available >= LINES.floor
        elif available < LINES.floor:
            assert killed_s is not None
        over_floor = over_floor or available >= LINES.floor


@given(
    rates=st.lists(st.integers(0, FASTEST), max_size=30),
    last=st.integers(GIB, FASTEST),
    each=st.floats(0.02, 1.0),
    begin=st.floats(0.0, 1.0),
    act=st.integers(3 * GIB, 60 * GIB),
    over=st.integers(1, 40 * GIB),
    under=st.floats(0.05, 0.95),
)
@settings(max_examples=examples(400), deadline=None)
def test_no_fall_is_too_fast(
    rates: list[int], last: int, each: float, begin: float, act: int, over: int, under: float
) -> None:
    """Of any fall from the reserve of at most 14 GiB/s, whatever its course, it acts while there is something left."""
    lines = Lines(act + over, act, int(act * under) or 1)
    assert lines.in_time

    def level(now: float) -> float:
        left, gone = max(now - begin, 0.0), 0.0
        for rate in rates:
            gone += rate * min(left, each)
            left -= min(left, each)
        return lines.reserve - gone - last * left  # it goes on as it ended

    judge, now = Judge(lines), 0.0
    while True:
        available = level(now)
        assert available > 0, "all is gone, and nobody had to end"
        if judge.look(now, int(available), 0, starting=False).strike:
            return
        now += look_again_s(int(available), lines)
