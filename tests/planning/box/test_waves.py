"""Waves against a host of its own: every moment of every wave is walked, whatever comes first in it."""

from __future__ import annotations

from itertools import product
from math import isqrt
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.memory.pool import HOST, Pool
from sparkctl.planning.admission import Action, PlannedStart, StartupCheck, Wanted, admit
from sparkctl.planning.box.waves import waves
from sparkctl.planning.order import Room, StartPart
from sparkctl.planning.running import Running
from tests.support.thorough import examples

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MEMORIES = (HOST, "gpu 0")
NAMES = "abcde"
COUNT = examples(800)


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[PlannedStart], dict[str, Room]]:
    """Return starts, and rooms in which some of them may just have room together."""
    ordered: list[PlannedStart] = []
    for name in NAMES[: draw(st.integers(0, len(NAMES)))]:
        steady, more, check = draw(st.integers(0, 30)), draw(st.integers(0, 20)), draw(st.just(0) | st.integers(1, 60))
        spread = draw(st.integers(0, steady))
        on = draw(st.sampled_from([MEMORIES[:1], MEMORIES[1:], MEMORIES]))
        parts = {
            memory: StartPart(memory, steady + more, steady, check_bytes=check, spread_bytes=spread) for memory in on
        }
        ordered.append(PlannedStart(name, Action.START, 0, parts=parts))
    free = {}
    for memory in MEMORIES:
        most = sum(one.parts[memory].peak_bytes for one in ordered if memory in one.parts)
        reserve = draw(st.integers(0, 10))
        free[memory] = Room(max(0, most + reserve + draw(st.integers(-30, 30))), reserve)
    return ordered, free


def over_committed(
    wave: Sequence[PlannedStart], before: Sequence[PlannedStart], free: Mapping[str, Room]
) -> Iterator[str]:
    """Yield what is wrong in some moment of a wave: each has not begun, is at its peak, or holds what it keeps.

    Of what several may hold beyond their middles, the root of the sum of the squares comes together.
    """
    for moment in product(("not begun", "peak", "steady"), repeat=len(wave)):
        for memory, room in free.items():
            none = StartPart(memory)
            parts = [(one.parts.get(memory, none), doing) for one, doing in zip(wave, moment, strict=True)]
            begun = [(part, doing) for part, doing in parts if doing != "not begun"]
            held = [one.parts.get(memory, none) for one in before]
            spreads = [part.spread_bytes for part in (*held, *(part for part, _ in begun))]
            left = room.available_bytes + sum(spreads) - isqrt(sum(spread**2 for spread in spreads))
            left -= sum(part.steady_bytes for part in held)
            left -= sum(part.peak_bytes if doing == "peak" else part.steady_bytes for part, doing in begun)
            if left < room.reserve_bytes and any(part.takes and doing == "peak" for part, doing in parts):
                yield f"{moment}: {left} of {memory} left"
            if any(doing == "not begun" and 0 < part.check_bytes > left for part, doing in parts):
                yield f"{moment}: a check finds {left} of {memory}"


@settings(max_examples=COUNT, deadline=None)
@given(situations())
def test_no_moment_of_a_wave_takes_more_than_there_is_and_no_wave_could_be_longer(
    situation: tuple[list[PlannedStart], dict[str, Room]],
) -> None:
    ordered, free = situation
    found = waves(ordered, free)
    named = {start.name: start for start in ordered}
    assert [name for wave in found for name in wave] == [start.name for start in ordered]
    before: list[PlannedStart] = []
    for place, wave in enumerate(found):
        now = [named[name] for name in wave]
        if len(now) > 1:  # one alone is admission's to admit
            assert not list(over_committed(now, before, free))
        if place + 1 < len(found):
            longer = [*now, named[found[place + 1][0]]]
            assert list(over_committed(longer, before, free)), f"{longer} would have had room"
        before += now


@settings(max_examples=COUNT, deadline=None)
@given(situations(), st.sets(st.sampled_from(NAMES)))
def test_who_starts_alone_and_who_comes_after_another_is_in_no_wave_with_it(
    situation: tuple[list[PlannedStart], dict[str, Room]], alone: set[str]
) -> None:
    ordered, free = situation
    assert all(len(wave) == 1 for wave in waves(ordered, free, alone=NAMES))
    for wave in waves(ordered, free, alone=alone):
        assert len(wave) == 1 or not alone.intersection(wave)
    follows = {"b": ("a",), "d": ("b", "x")}
    for wave in waves([one._replace(after=follows.get(one.name, ())) for one in ordered], free):
        assert not any(set(follows.get(name, ())).intersection(wave) for name in wave)


def wanted(name: str, steady: int, peak: int, spread: int = 0, check: StartupCheck | None = None) -> Wanted:
    return Wanted(name, "r", name, steady, peak, check=check, spread_bytes=spread)


def waves_of(asked: Sequence[Wanted], running: Sequence[Running], pool: Pool, *, replace: bool = False) -> list[str]:
    """Return the waves of an admitted set, each as its letters."""
    admission = admit(asked, running, pool, replace=replace)
    assert admission.fits
    return ["".join(sorted(wave)) for wave in waves(admission.starts, admission.rooms)]


def test_a_stack_takes_as_few_waves_as_its_peaks_allow() -> None:
    three = [wanted(name, 10, 30) for name in "abc"]
    assert waves_of(three, [], Pool(120, 100, 10)) == ["abc"]
    assert waves_of(three, [], Pool(120, 99, 10)) == ["ab", "c"]
    assert waves_of(three, [], Pool(120, 69, 10)) == ["a", "b", "c"]


def test_what_was_started_before_counts_as_what_it_has_settled_to() -> None:
    """The first pair leaves 62 and then holds 20 of 82: the next pair has room for its two peaks again."""
    four = [wanted(name, 10, 30) for name in "abcd"]
    assert waves_of(four, [], Pool(120, 90, 10)) == ["ab", "cd"]
    assert waves_of(four, [], Pool(120, 89, 10)) == ["ab", "c", "d"]


def test_another_commands_start_counts_with_its_peak() -> None:
    pair = [wanted(name, 10, 30) for name in "ab"]
    loading = Running("x", "r", "x", "starting", 10, resident_bytes=4, peak_bytes=30)
    assert waves_of(pair, [loading], Pool(120, 96, 10)) == ["ab"]
    assert waves_of(pair, [loading], Pool(120, 95, 10)) == ["a", "b"]


def test_the_check_of_each_has_to_pass_while_the_others_are_at_their_peaks() -> None:
    check = StartupCheck(0.5, 0)
    for pair in (
        [wanted("a", 10, 30), wanted("b", 10, 29, check=check)],
        [wanted("a", 10, 30, check=check), wanted("b", 10, 30)],
    ):
        assert waves_of(pair, [], Pool(100, 80, 10)) == ["ab"]
        assert waves_of(pair, [], Pool(100, 79, 10)) == ["a", "b"]


def test_bounds_are_added_as_admission_adds_them() -> None:
    """Each may hold 12 more than its middle; both at once hold the root of 288 more, which is 16, and not 24."""
    pair = [wanted(name, 30, 30, spread=12) for name in "ab"]
    assert waves_of(pair, [], Pool(100, 62, 10)) == ["ab"]
    alone = admit(pair, [], Pool(100, 62, 10), replace=False)
    assert [step.free_bytes for step in alone.steps] == [22, 0]


def test_what_replaces_something_starts_alone() -> None:
    running = [Running("a", "r", "old", "ready", 10, resident_bytes=10)]
    three = [wanted(name, 10, 12) for name in "abc"]
    assert waves_of(three, running, Pool(120, 100, 10), replace=True) in (["a", "bc"], ["bc", "a"])


def test_a_wave_of_one_is_what_admission_says() -> None:
    one = [wanted("a", 10, 30)]
    assert waves_of(one, [], Pool(120, 40, 10)) == ["a"]
    assert not admit(one, [], Pool(120, 39, 10), replace=False).fits
