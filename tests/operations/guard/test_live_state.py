"""A guard that has closed admission stops a start, as long as it lives and looks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sparkctl.memory.pool import ACT_BYTES, FLOOR_BYTES, RESERVE_BYTES
from sparkctl.operations.guard.alone import kernel, lines
from sparkctl.operations.guard.alone.lines import GIB
from sparkctl.operations.guard.alone.places import Places
from sparkctl.operations.guard.alone.state import GuardState, StateFile
from sparkctl.operations.guard.live_state import living
from sparkctl.recipes.host_side.operator import Operator
from tests.support.fake_world import HOME, STATE, FakeSpark
from tests.support.fakes import FakeClock, FakeFiles

if TYPE_CHECKING:
    from pathlib import Path


class GuardedSpark(FakeSpark):
    """A Spark on which a guard may run, with this process as its own."""

    @property
    def operator(self) -> Operator:
        return Operator(home=HOME, config=self.folder / "config", state=STATE, run=self.folder / "run")

    def guard(self, *, closed: bool, started: int | None = None, looked_s: float = 0.0) -> None:
        (self.folder / "run/guard").mkdir(parents=True, exist_ok=True)
        state = GuardState(os.getpid(), (kernel.start_of(os.getpid()) or 0) if started is None else started)
        state.closed, state.looked_s = closed, looked_s
        state.available, state.reserve, state.act, state.floor = 8 * GIB, 10 * GIB, 6 * GIB, 4 * GIB
        StateFile(Places(str(self.folder / "run")).state).write(state)


@pytest.fixture
def spark(tmp_path: Path) -> GuardedSpark:
    return GuardedSpark(tmp_path)


def test_nothing_is_started_while_the_guard_has_closed_admission(spark: GuardedSpark) -> None:
    spark.guard(closed=True)
    refused = spark.run("up", "e4b-nvfp4").expect(3).err
    assert "the guard has closed admission: 8.0 GiB of memory are available, its reserve is 10.0 GiB" in refused
    assert "it opens when 12.0 GiB were available for 30 s" in refused
    assert spark.engine.there == {}


def test_what_runs_already_is_no_start_and_is_not_stopped_to_be_started_again(spark: GuardedSpark) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    spark.guard(closed=True)
    spark.run("up", "e4b-nvfp4").expect(0)
    spark.run("restart", "e4b-nvfp4").expect(3)
    (container,) = spark.engine.there.values()
    assert container.state == "running"


@pytest.mark.parametrize(
    ("closed", "started", "looked_s"), [(False, None, 0.0), (True, 1, 0.0), (True, None, -11.0)], ids=str
)
def test_an_open_a_dead_and_a_stuck_guard_stop_nothing(
    spark: GuardedSpark, closed: bool, started: int | None, looked_s: float
) -> None:
    spark.guard(closed=closed, started=started, looked_s=looked_s)
    spark.run("up", "e4b-nvfp4").expect(0)


def test_a_file_that_no_guard_wrote_is_none(tmp_path: Path) -> None:
    state = tmp_path / "guard/state"
    state.parent.mkdir()
    files = FakeFiles()
    for content in (b"", b"x", bytes(4096), b"SPGUARD1" + bytes(4096)):
        state.write_bytes(content)
        assert living(files, FakeClock(), tmp_path) is None
    assert living(files, FakeClock(), None) is None
    assert living(files, FakeClock(), tmp_path / "nowhere") is None


def test_the_guards_own_lines_are_those_of_the_pool() -> None:
    assert (lines.RESERVE_BYTES, lines.ACT_BYTES, lines.FLOOR_BYTES) == (RESERVE_BYTES, ACT_BYTES, FLOOR_BYTES)
