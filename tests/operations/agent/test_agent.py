"""What the agent does about a box of fakes: it comes up, comes back, is left alone, and says so."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.units import GIB
from sparkctl.operations.agent.kept import events
from sparkctl.operations.stack.one_at_a_time import APPLYING
from sparkctl.world.engine import ImportedFile
from tests.support.agent_bench import E4B, FP8, AgentBench
from tests.support.fake_engine import dies
from tests.support.fake_world import IMAGE

if TYPE_CHECKING:
    from pathlib import Path

E4B_AT = "127.0.0.1:8003"


@pytest.fixture
def bench(tmp_path: Path) -> AgentBench:
    return AgentBench(tmp_path)


@pytest.fixture
def running(bench: AgentBench) -> AgentBench:
    """Return a box that is as declared."""
    bench.until(lambda: bench.up == {E4B, FP8})
    bench.tick(3)
    return bench


def test_what_is_declared_comes_up_by_priority_and_is_started_once(bench: AgentBench) -> None:
    bench.tick(4)
    assert [call for call in bench.spark.engine.calls if call.startswith("start ")] == [f"start {E4B}", f"start {FP8}"]
    assert bench.words(E4B) == bench.words(FP8) == "running"
    bench.tick(20)
    assert (bench.starts(E4B), bench.starts(FP8)) == (1, 1)
    assert "keeps generation 1 of the stack box: e4b-nvfp4, 26b-a4b-fp8" in bench.report.said[0]


@pytest.mark.parametrize(("code", "oom"), [(0, False), (1, False), (137, True)])
def test_a_server_that_ended_is_started_again_after_a_wait_whatever_its_exit_code(
    running: AgentBench, code: int, *, oom: bool
) -> None:
    running.ends(E4B, code, oom=oom)
    at = running.spark.clock.now
    running.tick()
    assert running.words(E4B).startswith("starts again in 10s, after failure 1 in a row: ")
    running.until(lambda: E4B in running.up)
    assert 10 <= running.spark.clock.now - at < 30
    assert running.starts(E4B) == 2
    kinds = [one.kind for one in events(running.agent.world) if one.service == E4B]
    assert kinds == ["start", "running", "backing-off", "start"]
    running.tick()
    assert events(running.agent.world)[-1].words == "running"


def test_what_fails_again_and_again_is_held_with_the_diagnosis(running: AgentBench) -> None:
    running.spark.engine.on_start[E4B] = dies()
    running.spark.engine.prints[E4B] = ["torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 45.00 GiB."]
    running.ends(E4B)
    running.until(lambda: "held" in running.words(E4B))
    said = [one.words for one in events(running.agent.world) if one.service == E4B]
    assert "starts it: after failure 1 in a row" in said
    assert any(one.endswith("after failure 3 in a row: as before") for one in said), "a cause is told once"
    assert "3 starts within" in running.words(E4B)
    assert "the GPU had no memory" in running.words(E4B)
    assert running.starts(E4B) == 4
    running.tick(200)
    assert running.starts(E4B) == 4
    assert "held: 3 starts within" in running.spark.run("ps").expect(0).out
    del running.spark.engine.on_start[E4B], running.spark.engine.prints[E4B]
    running.spark.run("up", E4B).expect(0)
    running.tick(2)
    assert running.words(E4B) == "running"


def test_a_cause_that_is_there_again_at_each_start_is_held_at_once(running: AgentBench) -> None:
    running.spark.engine.on_start[E4B] = dies(2)
    running.spark.engine.prints[E4B] = ["api_server.py: error: unrecognized arguments: --no-such-flag"]
    running.ends(E4B)
    running.until(lambda: "held" in running.words(E4B))
    assert running.starts(E4B) == 2
    assert "this vLLM has no flag --no-such-flag" in running.words(E4B)


def test_a_server_that_ended_for_a_cause_that_stays_is_not_started_again(running: AgentBench) -> None:
    running.ends(E4B, 1, log=("api_server.py: error: unrecognized arguments: --no-such-flag",))
    running.tick(2)
    assert "held" in running.words(E4B)
    assert running.starts(E4B) == 1


def test_a_service_that_an_operator_stopped_is_left_alone_until_they_start_it(running: AgentBench) -> None:
    running.spark.run("down", E4B).expect(0)
    running.tick(100)
    assert running.up == {FP8}
    assert running.words(E4B) == "paused by ada: up or apply starts it again"
    running.spark.run("up", E4B).expect(0)
    running.tick(2)
    assert running.words(E4B) == "running"
    running.ends(E4B)
    running.until(lambda: E4B in running.up)


def test_what_an_operator_stops_while_its_start_waits_is_not_started(running: AgentBench) -> None:
    running.work.later = True
    running.ends(E4B)
    running.until(lambda: running.work.busy)
    running.spark.run("down", E4B).expect(0)
    running.work.go_on()
    running.work.later = False
    running.tick(20)
    assert running.starts(E4B) == 1
    assert running.words(E4B) == "paused by ada: up or apply starts it again"


def test_an_engine_that_goes_away_is_told_once_and_is_no_failure_of_a_service(running: AgentBench) -> None:
    engine = running.spark.engine
    away = EngineError("no engine answers at /var/run/docker.sock", hint="systemctl start docker")
    engine.away = away
    running.tick(50)
    assert running.report.warned.count(away.message) == 1
    assert running.agent.status.startswith("no engine answers")
    engine.away = None
    running.tick(3)
    assert f"over: {away.message}" in running.report.said
    assert (running.starts(E4B), running.words(E4B)) == (1, "running")


def test_after_a_reboot_all_come_back_one_at_a_time_by_priority(running: AgentBench) -> None:
    engine = running.spark.engine
    for name in (E4B, FP8):
        running.ends(name, 255)
    engine.calls.clear()
    engine.away = EngineError("no engine answers")
    running.spark.host.gpu, gpu = [], running.spark.host.gpu
    running.spark.clock.now = 5.0  # a monotonic clock begins anew
    running.spark.locks.me = "host~boot2~1~101~1"
    running.live()
    running.tick(4)
    engine.away = None
    running.tick(4)
    assert running.words(E4B) == "waiting: no GPU answers: its driver is not there"
    assert running.up == set()
    running.spark.host.gpu = gpu
    running.spark.models.missing["gemma4-e4b-nvfp4"] = "is not there"
    running.tick(3)
    assert "gemma4-e4b-nvfp4 is not there" in running.words(E4B)
    running.spark.models.missing.clear()
    running.until(lambda: running.up == {E4B, FP8})
    assert not any("failure" in line for line in running.report.said[-12:])
    assert (running.starts(E4B), running.starts(FP8)) == (1, 1)


def test_another_life_of_the_agent_adopts_what_runs_and_what_loads(bench: AgentBench) -> None:
    bench.work.later = True
    bench.tick()
    assert bench.work.busy  # killed before the start was begun
    bench.spark.locks.me = "host~boot1~1~101~1"
    bench.work.later = False
    bench.live()
    bench.until(lambda: bench.up == {E4B, FP8})
    bench.spark.locks.me = "host~boot1~1~102~1"
    bench.live()
    bench.tick(10)
    assert (bench.starts(E4B), bench.starts(FP8)) == (1, 1)
    assert bench.words(E4B) == "running"


def test_what_happened_outlives_the_agent(running: AgentBench) -> None:
    running.spark.engine.on_start[E4B] = dies()
    running.ends(E4B)
    running.until(lambda: running.starts(E4B) == 3)
    running.tick()
    running.spark.locks.me = "host~boot1~1~103~1"
    running.live()
    running.until(lambda: "held" in running.words(E4B))
    assert running.starts(E4B) == 4


def test_a_store_that_is_full_ends_nothing_and_is_told_once(running: AgentBench) -> None:
    running.spark.store.broken = InputError("cannot use what is kept in /state: the disk is full")
    running.ends(E4B)
    running.until(lambda: E4B in running.up)
    assert len([line for line in running.report.warned if "what was applied cannot be read" in line]) == 1
    running.spark.store.broken = None
    running.tick(3)
    assert running.words(E4B) == "running"


def test_what_happened_while_the_store_was_full_outlives_the_agent(running: AgentBench) -> None:
    running.spark.store.full = InputError("cannot use what is kept in /state: the disk is full")
    running.spark.engine.on_start[E4B] = dies()
    running.ends(E4B)
    running.until(lambda: "after failure 2" in running.words(E4B))
    running.live()
    running.tick()
    assert "after failure 2" in running.words(E4B)


def test_a_new_generation_is_taken_up_without_a_restart(running: AgentBench) -> None:
    running.apply(f"services:\n  {E4B}: {{recipe: {E4B}, start: manual}}\n")
    running.ends(E4B)
    running.tick(20)
    assert E4B not in running.up
    assert running.words(E4B) == "off: it is started by up alone"


def test_a_start_that_finds_no_room_waits_and_says_the_sum(running: AgentBench) -> None:
    running.ends(E4B)
    running.spark.host.available, running.spark.host.resident[4711] = 12 * GIB, 98 * GIB  # another process
    running.tick(10)
    assert running.words(E4B).startswith("waiting for room: ")
    running.spark.host.available = 110 * GIB
    del running.spark.host.resident[4711]
    running.until(lambda: E4B in running.up)


# --- a server that runs, and is not well ------------------------------------------------------------------------------

STANDS_STILL = (
    "vllm:num_requests_running 2.0\nvllm:num_requests_waiting 0.0\nvllm:generation_tokens_total 100.0\n"
    "vllm:prompt_tokens_total 40.0\nvllm:iteration_tokens_total_count 5.0\n"
)


def test_a_stuck_server_is_stopped_after_its_grace_and_started_again(running: AgentBench) -> None:
    running.spark.http.metrics[E4B_AT] = STANDS_STILL
    at = running.spark.clock.now
    running.until(lambda: "stuck" in running.words(E4B))
    assert 20 <= running.spark.clock.now - at <= 40
    running.until(lambda: f"stop {E4B}" in running.spark.engine.calls)
    assert 80 <= running.spark.clock.now - at <= 120
    assert any("it was stuck for" in line for line in running.report.said)
    del running.spark.http.metrics[E4B_AT]
    running.until(lambda: E4B in running.up)
    running.tick(2)
    assert (running.starts(E4B), running.words(E4B)) == (2, "running")


def test_a_busy_server_that_steps_is_left_alone_and_so_is_one_that_missed_a_question(running: AgentBench) -> None:
    for step in range(40):
        running.spark.http.metrics[E4B_AT] = STANDS_STILL.replace("count 5.0", f"count {step}.0")
        running.tick()
    del running.spark.http.metrics[E4B_AT]
    running.spark.http.statuses["health"] = 500
    running.tick(2)
    del running.spark.http.statuses["health"]
    running.tick(20)
    assert (running.starts(E4B), running.words(E4B)) == (1, "running")


def test_while_a_stack_is_put_into_effect_every_service_is_that_commands(running: AgentBench) -> None:
    with running.spark.locks.work_on("engine-1", APPLYING):
        for one in list(running.spark.engine.there.values()):
            if one.name == FP8:
                running.spark.engine.remove(one.id)  # as --prune does
        running.tick(30)
        assert running.words(FP8) == "waiting: a command works on it"
        running.apply(f"services: {{{E4B}: {{recipe: {E4B}}}}}\n")
    running.tick(10)
    assert [one.name for one in running.agent.words] == [E4B]
    assert running.starts(FP8) == 1


def test_mods_that_are_lost_hold_the_restart_and_the_service_goes_on(tmp_path: Path) -> None:
    target, fixed = "/usr/local/lib/python3.12/dist-packages/vllm/m.py", b"x = 1\n"
    mod = tmp_path / "mods/fix"
    mod.mkdir(parents=True)
    (mod / "m.py").write_bytes(fixed)
    md5 = hashlib.md5(fixed, usedforsecurity=False).hexdigest()
    files = f"files:\n  - {{path: {target}, source: m.py, md5: {md5}}}\n"
    (mod / "mod.yaml").write_text(f'description: a mod\napplies-to: {{image: "{IMAGE}", vllm: ">=0.1"}}\n{files}')
    recipe = tmp_path / "recipes/mine.yaml"
    recipe.parent.mkdir()
    recipe.write_text(f"extends: {E4B}\nmods: [fix]\n")
    bench = AgentBench(tmp_path, "services: {mine: {recipe: mine}}\n")
    bench.spark.engine.images[IMAGE][target] = b"x = 0\n"
    bench.until(lambda: bench.up == {"mine"})
    bench.tick(3)
    assert bench.words("mine") == "running"
    bench.spark.engine.seen[target] = ImportedFile("0" * 32, None, target)
    bench.tick(130)  # they are looked at every ten minutes
    assert bench.words("mine") == "running; the bytes of fix are lost: it is not started again when it ends"
    assert bench.up == {"mine"}
    bench.ends("mine")
    bench.tick(30)
    assert bench.starts("mine") == 1
    assert "fix" in bench.words("mine")
