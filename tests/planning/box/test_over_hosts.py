"""In which order hosts act: starts before what ends for them, waits across hosts, and waves that are divided."""

from __future__ import annotations

from sparkctl.planning.box.apply.acts import Act, ActKind
from sparkctl.planning.box.apply.over_hosts import HostAct, sequenced


def start(*names: str) -> Act:
    return Act(ActKind.START, names)


def replaced(name: str) -> Act:
    return Act(ActKind.REPLACE, (name,))


def removed(*names: str) -> Act:
    return Act(ActKind.REMOVE, names)


def told(acts: tuple[HostAct, ...]) -> list[str]:
    return [f"{one.host} {one.act.kind} {' '.join(one.act.services)}" for one in acts]


def test_what_ends_comes_after_every_start() -> None:
    found = sequenced({"a": [start("x"), removed("y")], "b": [removed("z")], "c": [start("y", "z")]}, {})
    assert told(found.first) == ["a start x", "c start y z"]
    assert told(found.last) == ["a remove y", "b remove z"]


def test_a_host_that_has_to_end_something_first_lets_the_others_begin() -> None:
    found = sequenced({"a": [removed("y"), start("x")], "b": [start("y")]}, {})
    assert told(found.first) == ["b start y", "a remove y", "a start x"]
    assert found.last == ()


def test_a_service_waits_for_one_of_another_host_and_its_wave_is_divided() -> None:
    acts = {"a": [start("chat", "embed", "late")], "b": [start("base")]}
    found = sequenced(acts, {"chat": ("base",), "late": ("chat",)})
    assert told(found.first) == ["a start embed", "b start base", "a start chat late"]


def test_a_wave_keeps_what_comes_after_another_of_it() -> None:
    assert told(sequenced({"a": [start("x", "y")]}, {"y": ("x",)}).first) == ["a start x y"]
    assert told(sequenced({"a": [replaced("x"), start("y")]}, {"x": ("gone",)}).first) == ["a replace x", "a start y"]


def test_where_none_could_go_on_the_first_does() -> None:
    acts = {"a": [start("x"), start("y")], "b": [start("z"), start("w")]}
    found = sequenced(acts, {"x": ("w",), "z": ("y",)})
    assert told(found.first) == ["a start x", "a start y", "b start z", "b start w"]


def test_nothing_is_nothing() -> None:
    assert sequenced({}, {}) == ((), ())
    assert sequenced({"a": []}, {}) == ((), ())
