"""Acts at once, told by one thread: what they tell comes in their order, and what one raises is raised at the end."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.operations.hosts.distribute.at_once import QueuedReport, at_once
from tests.support.told import Told


def act(name: str, meet: threading.Barrier, report: QueuedReport) -> str:
    meet.wait(10)
    report.say(f"{name} says")
    report.warn(f"{name} warns")
    report.progress(name, "works", "half", 0.5, {"bytes": 1})
    return name.upper()


def test_acts_run_at_once_and_tell_one_report_from_this_thread() -> None:
    report, meet = Told(), threading.Barrier(2)
    found = at_once(report, {name: partial(act, name, meet) for name in "ab"})
    assert found == {"a": "A", "b": "B"}
    assert report.threads == {threading.get_ident()}
    for name in "ab":
        assert [text for text in report.texts if name in text.split()[0]] == [
            *(f"{name} says", f"{name} warns", f"{name}: works: half"),
        ]


def test_one_act_needs_no_thread_and_none_does_nothing() -> None:
    report = Told()
    assert at_once(report, {"a": partial(act, "a", threading.Barrier(1))}) == {"a": "A"}
    assert report.texts[0] == "a says"
    assert at_once(report, {}) == {}


def test_what_an_act_raises_is_raised_when_all_have_ended() -> None:
    ended: list[str] = []

    def fails(_: object) -> None:
        raise EngineError("it is gone")

    def goes_on(_: object) -> None:
        ended.append("b")

    with pytest.raises(EngineError, match="it is gone"):
        at_once(Told(), {"a": fails, "b": goes_on})
    assert ended == ["b"]
