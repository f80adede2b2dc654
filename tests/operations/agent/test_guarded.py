"""What agent and guard tell each other: who may have to end, that nothing starts, and who was ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.units import GIB
from sparkctl.operations.agent.kept import events
from sparkctl.operations.guard.alone import record, state, victims_file
from sparkctl.operations.guard.alone.lines import BELOW_FLOOR, KILL
from sparkctl.operations.guard.alone.places import Places
from sparkctl.operations.stack.standing import standings
from tests.support.agent_bench import E4B, FP8, STACK, AgentBench

if TYPE_CHECKING:
    from sparkctl.operations.guard.alone.victims_file import Victims

LINES = "host: {reserve: 12 GiB, guard: {act: 7 GiB, floor: 5 GiB}}\n"


@pytest.fixture
def bench(tmp_path: Path) -> AgentBench:
    bench = AgentBench(tmp_path, STACK + LINES)
    bench.spark.run_folder = tmp_path / "run"
    (tmp_path / "run" / "guard").mkdir(parents=True)
    bench.live()
    return bench


def places(bench: AgentBench) -> Places:
    return Places(str(bench.spark.run_folder))


def victims(bench: AgentBench) -> Victims:
    return victims_file.parsed(Path(places(bench).victims).read_bytes())


def test_the_guard_is_told_who_may_have_to_end_the_lowest_priority_first(bench: AgentBench) -> None:
    bench.tick(4)
    told = victims(bench)
    assert [one.name for one in told.victims] == [FP8, E4B]
    assert [one.priority for one in told.victims] == [5, 10]
    assert told.lines is not None
    assert told.lines.values == (12 * GIB, 7 * GIB, 5 * GIB)
    assert not told.starting
    found = bench.spark.engine.container(FP8)
    assert found is not None
    assert told.victims[0].container == found.id
    (pid,) = bench.spark.engine.processes(FP8)
    assert told.victims[0].pids == ((pid, 1000 + pid),)
    bench.ends(FP8)
    bench.tick()
    assert [one.name for one in victims(bench).victims] == [E4B]


def test_lines_that_do_not_fit_the_hosts_reserve_are_lowered_under_it_and_that_is_told(bench: AgentBench) -> None:
    bench.apply(STACK)  # its act line is above the reserve of a profile that keeps less
    bench.spark.profile = "small"
    file = bench.folder / "recipes/hosts/small.yaml"
    file.parent.mkdir()
    file.write_text("total: 119.6 GiB\nreserve: 5 GiB\nsources: {total: this test, reserve: this test}\n")
    bench.live()
    bench.tick(4)
    lines = victims(bench).lines
    assert lines is not None
    assert lines.values == (5 * GIB, 3 * GIB, 2 * GIB)
    assert [one.name for one in victims(bench).victims] == [FP8, E4B]
    told = "do not fit this host's reserve (expected reserve > act > floor > 0, found reserve 5.00 GiB, act 6.00 GiB"
    (line,) = [line for line in bench.report.warned if told in line]
    assert "the guard asks a service to end below 3.0 GiB, and kills below 2.0 GiB" in line


def test_nothing_starts_while_the_guard_has_closed_admission_and_that_is_said(bench: AgentBench) -> None:
    stat = Path("/proc/self/stat").read_bytes()
    started = state.started(stat)
    assert started is not None
    says = state.GuardState(os.getpid(), started)
    says.closed, says.available, says.reserve = True, 8 * GIB, 12 * GIB
    file = state.StateFile(places(bench).state)
    file.write(says)
    bench.tick(3)
    assert bench.words(E4B) == (
        "waiting: the guard has closed admission: 8.0 GiB of memory are available, its reserve is 12.0 GiB"
    )
    assert bench.up == set()
    says.closed, says.looked_s = False, bench.spark.clock.now
    file.write(says)
    bench.until(lambda: bench.up == {E4B, FP8})


def test_a_victim_is_held_and_what_it_held_is_what_it_needs(bench: AgentBench) -> None:
    bench.spark.host.resident = dict.fromkeys(range(100, 110), 20 * GIB)
    bench.tick(4)
    (measured,) = [one for one in bench.spark.store.measurements if one.service == FP8]
    bench.spark.host.resident = dict.fromkeys(range(100, 110), 80 * GIB)
    bench.tick(3)
    found = bench.spark.engine.container(FP8)
    assert found is not None
    deed = record.Deed(bench.spark.clock.epoch(), KILL, BELOW_FLOOR)
    deed.victim, deed.container, deed.available, deed.rate = FP8, found.id, 4 * GIB, 4.0 * GIB
    Path(places(bench).actions).write_text(deed.line())
    bench.ends(FP8, 137)
    bench.tick(3)
    why = "the guard killed it: 4.0 GiB of memory were available, below the floor, falling by 4.0 GiB/s"
    assert bench.words(FP8) == f"held: {why}"
    assert f"held: {why}" in bench.spark.run("ps").expect(0).out
    assert [one.words for one in events(bench.agent.world) if one.kind == "guard"] == [why]
    (after,) = [one for one in bench.spark.store.measurements if one.service == FP8]
    assert (measured.high_bytes or 0) < 80 * GIB == after.high_bytes
    bench.live()
    bench.tick(3)
    assert len([one for one in events(bench.agent.world) if one.kind == "guard"]) == 1, "it is told once"
    assert bench.starts(FP8) == 1


def test_what_the_guard_did_after_the_clock_was_set_back_is_taken_too(bench: AgentBench) -> None:
    bench.tick(4)
    deeds = []
    for at, victim in ((5000.0, FP8), (40.0, E4B)):  # the clock went back between the two
        deed = record.Deed(at, KILL, BELOW_FLOOR)
        deed.victim, deed.container, deed.available = victim, "of-nobody-now", 4 * GIB
        deeds.append(deed.line())
        Path(places(bench).actions).write_text("".join(deeds))
        bench.tick(2)
    bench.live()
    bench.tick(2)
    assert {name: str(one.kind) for name, one in standings(bench.agent.world).items()} == {FP8: "held", E4B: "held"}
    assert [one.service for one in events(bench.agent.world) if one.kind == "guard"] == [FP8, E4B]
