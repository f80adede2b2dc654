"""Proofs that go on at once: each ends by itself, and an interruption reaches all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError, NotReadyError, WaitInterruptedError
from sparkctl.operations.services.together import POLL_S, Together, left_loading
from tests.support.fakes import FakeClock

if TYPE_CHECKING:
    from collections.abc import Generator


class Told:
    """A report that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.said.append(f"warning: {text}")

    def progress(self, service: str, *_: object) -> None:
        self.said.append(service)


class Proofs:
    """Proofs by the number of their pauses; ``ended`` are those that came to an end, and how."""

    def __init__(self) -> None:
        self.clock, self.report, self.ended = FakeClock(), Told(), list[str]()
        self.together = Together(self.clock, self.report)

    def add(self, name: str, pauses: int, end: BaseException | None = None) -> None:
        self.together.add(name, self.proof(name, pauses, end))

    def proof(self, name: str, pauses: int, end: BaseException | None) -> Generator[None, None, None]:
        try:
            for _ in range(pauses):
                yield
        except KeyboardInterrupt:
            self.ended.append(f"{name} interrupted")
            raise left_loading([name]) from None
        if end is not None:
            raise end
        self.ended.append(name)


def test_each_ends_when_it_does_and_the_clock_counts_once_for_all() -> None:
    proofs = Proofs()
    for name, pauses in (("one", 4), ("two", 2), ("six", 6)):
        proofs.add(name, pauses)
    proofs.together.wait()
    assert proofs.ended == ["two", "one", "six"]
    assert proofs.clock.now == 5 * POLL_S, "the first look was when each was added"


def test_one_that_has_ended_at_once_is_not_looked_at_again() -> None:
    proofs = Proofs()
    proofs.add("one", 0)
    assert (proofs.ended, proofs.together.going) == (["one"], False)
    proofs.together.wait()
    assert proofs.clock.now == 0


def test_a_failure_is_raised_when_the_others_have_ended_and_the_others_are_told() -> None:
    proofs = Proofs()
    proofs.add("one", 1, NotReadyError("one is not ready"))
    proofs.add("two", 2, EngineError("the engine is gone", hint="look for it"))
    proofs.add("six", 3)
    with pytest.raises(NotReadyError, match="one is not ready"):
        proofs.together.wait()
    assert proofs.ended == ["six"]
    assert proofs.report.said == [
        "one: failed, which is told when all have ended: two and six go on",
        "two: failed, which is told when all have ended: six goes on",
        "warning: the engine is gone (look for it)",
    ]


def test_a_defect_in_one_ends_no_other_either() -> None:
    proofs = Proofs()
    proofs.add("one", 1, ZeroDivisionError("a defect"))
    proofs.add("two", 2)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        proofs.together.wait()
    assert proofs.ended == ["two"]


def test_an_interruption_reaches_each_at_its_pause() -> None:
    proofs = Proofs()
    for name, pauses in (("one", 9), ("two", 2), ("six", 9)):
        proofs.add(name, pauses)
    proofs.clock.interrupt_at = 3 * POLL_S
    with pytest.raises(WaitInterruptedError) as raised:
        proofs.together.wait()
    assert sorted(proofs.ended) == ["one interrupted", "six interrupted", "two"]
    assert raised.value.message == "stopped waiting for one and six: they go on loading"
    assert raised.value.hint == ("resume: sparkctl attach one; sparkctl attach six    stop them: sparkctl down one six")


def test_an_interruption_of_the_only_one_is_its_own() -> None:
    proofs = Proofs()
    proofs.add("one", 9)
    proofs.clock.interrupt_at = POLL_S
    with pytest.raises(WaitInterruptedError, match="stopped waiting for one: it goes on loading"):
        proofs.together.wait()


def test_an_interruption_in_the_work_of_one_reaches_the_others_and_a_failure_before_it_is_told() -> None:
    """As where required checks of one go on, of which a Ctrl-C ends the start."""
    proofs = Proofs()
    proofs.add("bad", 1, NotReadyError("bad is not ready", hint="mend it"))
    proofs.add("one", 2, KeyboardInterrupt())
    proofs.add("two", 9)
    with pytest.raises(WaitInterruptedError, match="stopped waiting for two: it goes on loading"):
        proofs.together.wait()
    assert proofs.ended == ["two interrupted"]
    assert proofs.report.said[-1] == "warning: bad is not ready (mend it)"


def test_an_interruption_when_nothing_goes_on_is_an_interruption() -> None:
    proofs = Proofs()
    proofs.add("one", 0)
    with pytest.raises(KeyboardInterrupt):
        raise proofs.together.interrupted(KeyboardInterrupt())


def test_an_interruption_while_the_next_one_is_added_reaches_those_that_go_on() -> None:
    proofs = Proofs()
    proofs.add("one", 9)
    with pytest.raises(WaitInterruptedError, match="stopped waiting for one"):
        proofs.add("two", 0, KeyboardInterrupt())
    assert proofs.ended == ["one interrupted"]
