"""The order in which a stack is put into effect."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.base.units import GIB
from sparkctl.memory.pool import Pool
from sparkctl.planning.admission import Wanted
from sparkctl.planning.box.apply.acts import Act, ActKind, Arranged, arranged
from sparkctl.planning.plan import make_plan
from sparkctl.planning.running import Running
from tests.support.thorough import examples

RESERVE = 10


def wanted(name: str, steady: int, peak: int | None = None, *, digest: str = "1", priority: int = 0) -> Wanted:
    return Wanted(name, name, digest, steady * GIB, (peak or steady) * GIB, priority)


def running(name: str, held: int, *, state: str = "ready", digest: str = "1", priority: int = 0) -> Running:
    return Running(name, name, digest, state, held * GIB, held * GIB, priority)


def pool(available: int) -> Pool:
    return Pool(120 * GIB, available * GIB, RESERVE * GIB)


def told(found: Arranged) -> list[str]:
    return [f"{act.kind} {' '.join(act.services)}" for act in found.acts]


def test_what_is_new_starts_before_what_changed_is_replaced_and_what_goes_goes_last() -> None:
    now = [running("changed", 20), running("old", 10), running("same", 10)]
    asked = [wanted("changed", 25, digest="2"), wanted("new", 20), wanted("same", 10)]
    found = arranged(asked, now, pool(60), ["old"])
    assert told(found) == ["start new", "replace changed", "remove old"]


def test_what_is_new_waits_for_the_room_that_a_replacement_gives_back() -> None:
    asked = [wanted("new", 30), wanted("shrinks", 10, digest="2")]
    found = arranged(asked, [running("shrinks", 40)], pool(20), [])
    assert told(found) == ["replace shrinks", "start new"]


def test_what_goes_is_stopped_first_where_its_memory_is_needed_and_no_more_of_it_than_is_needed() -> None:
    now = [running("high", 30, priority=9), running("low", 30, priority=1), running("small", 1)]
    found = arranged([wanted("new", 30)], now, pool(15), ["high", "low", "small"])
    assert told(found) == ["remove low", "start new", "remove high", "remove small"]


def test_of_many_that_go_the_largest_are_stopped_first() -> None:
    now = [running(f"s{number}", number) for number in range(1, 12)]
    found = arranged([wanted("new", 20)], now, pool(12), [one.name for one in now])
    assert told(found)[:3] == ["remove s11", "remove s10", "start new"]


def test_a_set_that_does_not_fit_even_without_what_goes_is_refused_and_nothing_is_done() -> None:
    found = arranged([wanted("new", 90)], [running("old", 10)], pool(60), ["old"])
    assert (found.fits, found.acts) == (False, ())
    assert found.plan.reasons


def test_what_is_as_wanted_is_left_alone_and_what_starts_so_is_waited_for() -> None:
    now = [running("same", 10), running("loading", 10, state="starting")]
    found = arranged([wanted("same", 10), wanted("loading", 10)], now, pool(60), [])
    assert told(found) == ["wait loading"]


def test_a_port_is_given_back_before_another_service_takes_it() -> None:
    now = [running("old", 10), running("moves", 10)]
    asked = [wanted("heir", 10), wanted("moves", 10, digest="2"), wanted("taker", 10)]
    gone = arranged(asked, now, pool(90), ["old"], {"heir": ["old"]})
    assert told(gone) == ["remove old", "start heir taker", "replace moves"]
    moved = arranged(asked, now, pool(90), ["old"], {"taker": ["moves"]})
    assert told(moved) == ["start heir", "replace moves", "start taker", "remove old"]


def test_a_service_comes_after_those_that_it_waits_for_unless_they_run_already() -> None:
    asked = [wanted("late", 10)._replace(after=("early",)), wanted("early", 10)]
    assert told(arranged(asked, [], pool(90), [])) == ["start early late"]
    runs = [running("early", 10, digest="0")]
    assert told(arranged(asked, runs, pool(90), [])) == ["start late", "replace early"]
    asked = [wanted("late", 10, digest="2")._replace(after=("early",)), wanted("early", 10)]
    assert told(arranged(asked, [running("late", 10)], pool(90), [])) == ["start early", "replace late"]


def test_two_that_want_each_other_s_port_are_told_that_no_order_is_possible() -> None:
    now = [running("a", 10), running("b", 10)]
    found = arranged(
        [wanted("a", 10, digest="2"), wanted("b", 10, digest="2")], now, pool(90), [], {"a": ["b"], "b": ["a"]}
    )
    assert (found.fits, found.acts) == (True, ())
    assert "a, b" in found.stuck


SIZES = st.integers(0, 40)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[list[Wanted], list[Running], Pool, list[str]]:
    names = [f"s{number}" for number in range(draw(st.integers(1, 6)))]
    now, asked, goes = [], [], []
    for name in names:
        if draw(st.booleans()):
            now.append(running(name, draw(SIZES), digest=draw(st.sampled_from("12")), priority=draw(SIZES)))
        if draw(st.booleans()):
            steady = draw(SIZES)
            asked.append(wanted(name, steady, steady + draw(SIZES), digest="2", priority=draw(SIZES)))
        elif draw(st.booleans()):
            goes.append(name)
    return asked, now, pool(draw(st.integers(0, 110))), goes


@settings(max_examples=examples(2000), deadline=None)
@given(boxes())
def test_no_moment_takes_more_than_there_is_and_nothing_that_works_is_stopped_without_need(
    box: tuple[list[Wanted], list[Running], Pool, list[str]],
) -> None:
    asked, now, memory, goes = box
    found = arranged(asked, now, memory, goes)
    if not found.fits:
        assert found.acts == ()
        return
    there, needs = {one.name: one for one in now}, {one.name: one for one in asked}
    free, lives = memory.available_bytes, {one.name for one in now}
    for act in found.acts:
        for name in act.services:
            assert act.kind in {ActKind.START, ActKind.REPLACE, ActKind.REMOVE}
            if name in there and act.kind is not ActKind.START:
                free += there[name].held_bytes
            if act.kind is ActKind.REMOVE:
                assert name in goes
                lives.remove(name)
                continue
            assert (name in lives) == (act.kind is ActKind.REPLACE), "only what changed is stopped for its successor"
            assert name not in there or there[name].digest == "1"
            assert free - needs[name].peak_bytes >= memory.reserve_bytes
            free -= needs[name].steady_bytes
            lives.add(name)
    assert lives == ({one.name for one in now} | set(needs)) - set(goes), "it comes to what is declared"
    done = [name for act in found.acts for name in act.services]
    assert len(done) == len(set(done)), "and nothing is done twice"
    _nothing_goes_before_it_has_to(found.acts, box)


def _nothing_goes_before_it_has_to(
    acts: tuple[Act, ...], box: tuple[list[Wanted], list[Running], Pool, list[str]]
) -> None:
    asked, now, memory, goes = box
    begins = next((place for place, act in enumerate(acts) if act.kind is not ActKind.REMOVE), None)
    first = [] if begins is None else [act.services[0] for act in acts[:begins]]
    for fewer in combinations([one for one in now if one.name in goes], max(0, len(first) - 1)):
        if not first:
            break
        room = memory.with_more(sum(one.held_bytes for one in fewer))
        staying = [one for one in now if one not in fewer]
        assert not make_plan(asked, staying, room, replace=True).fits, "fewer would have been enough"
