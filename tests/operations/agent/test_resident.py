"""The agent's process: watched, alone on its engine, ended by SIGTERM; killed, on the simulator."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.operations.agent.beside import NobodyBeside
from sparkctl.operations.agent.resident import Resident
from sparkctl.operations.agent.state_file import AGENT
from sparkctl.world.sim.engine import SimEngine
from tests.support.agent_bench import E4B, FP8, AgentBench
from tests.support.command_line import Operator, free_port, wait_for
from tests.support.thorough import only_thorough

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.command_server import Command

RECIPE = """\
extends: e4b-nvfp4
description: of this test
serve: {{name: m, port: {port}}}
limits: {{context: 1024}}
memory: auto
env: {{SPARKCTL_SIM_FAULTS: "load_s={load_s}"}}
"""
STACK = """\
services:
  chat: {recipe: chat, priority: 10, restart: {first: 1s, most: 2s}}
"""


# --- over fakes -------------------------------------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path: Path) -> AgentBench:
    return AgentBench(tmp_path)


def resident(bench: AgentBench) -> Resident:
    return Resident(bench.spark.world(bench.report), bench.spark.supervisor, bench.work, lambda: 0.0)


def test_it_is_ready_at_once_and_the_watchdog_hears_of_it(bench: AgentBench) -> None:
    bench.spark.supervisor.watchdog_s = 30.0
    bench.spark.clock.interrupt_at = 100.0
    resident(bench).run()
    told = bench.spark.supervisor.told
    assert (told[0], told[-1]) == ("READY=1", "STOPPING=1")
    assert told.count("WATCHDOG=1") > 100
    assert "STATUS=generation 1 is as declared" in told
    assert bench.up == {E4B, FP8}, "it is ended, and the services go on"
    assert bench.report.said[-1] == "ended: the services go on without it"


def test_it_looks_at_once_where_who_is_beside_it_wants_that(bench: AgentBench) -> None:
    looks: list[float] = []

    class Lost(NobodyBeside):
        def works_on(self) -> frozenset[str]:
            looks.append(bench.spark.clock.monotonic())
            return frozenset()

        def wants_look(self) -> bool:
            return len(looks) == 5

    bench.spark.clock.interrupt_at = bench.spark.clock.monotonic() + 60.0
    Resident(bench.spark.world(bench.report), bench.spark.supervisor, bench.work, lambda: 0.0, beside=Lost()).run()
    assert looks[5] - looks[4] <= 0.5
    assert looks[7] - looks[6] == 5.0


def test_it_waits_for_an_engine_that_comes_up_later_and_says_so_once(bench: AgentBench) -> None:
    bench.spark.engine.away = EngineError("no engine answers")
    bench.spark.clock.interrupt_at = 60.0
    resident(bench).run()
    assert bench.report.warned.count("waiting: no engine answers") == 1
    bench.spark.engine.away = None
    bench.spark.clock.interrupt_at = 200.0
    resident(bench).run()
    assert bench.up == {E4B, FP8}


def test_a_second_agent_of_an_engine_is_refused_and_names_the_first(bench: AgentBench) -> None:
    bench.tick()
    bench.spark.locks.working.add(AGENT)
    with pytest.raises(EngineError, match="another agent keeps this engine: process 100, started by ada"):
        resident(bench).run()
    assert bench.spark.supervisor.told[-1] == "STOPPING=1"


def test_agent_status_says_where_each_service_stands_and_what_to_do(bench: AgentBench) -> None:
    told = bench.spark.run("agent", "status").expect(9).out
    assert "no agent runs: nothing is started again by itself" in told
    assert f"  {E4B}    not deployed\n  {'':{len(FP8)}}  → sparkctl up {E4B} starts it" in told
    bench.tick(4)
    done = bench.spark.run("agent", "status").expect(0)
    assert done.out.splitlines()[1:] == [f"  {E4B}    running", f"  {FP8}  running"]
    assert done.out.startswith("the agent has run for 20s (process 100 of ada); it keeps generation 1 of box")
    bench.spark.run("down", E4B).expect(0)
    bench.tick()
    done = bench.spark.run("agent", "status").expect(9)
    assert f"paused by ada: up or apply starts it again\n  {'':{len(FP8)}}  → sparkctl up {E4B} starts it" in done.out
    row = bench.spark.run("agent", "status", "--json").expect(9).json
    assert (row["running"], row["generation"], row["as_declared"]) == (True, 1, False)
    assert row["services"][0]["phase"] == "paused"


def test_agent_status_tells_an_agent_that_hangs_or_was_killed(bench: AgentBench) -> None:
    bench.tick(4)
    bench.spark.clock.now += 120
    assert "it has not looked for 2m" in bench.spark.run("agent", "status").expect(9).out
    bench.spark.locks.me = "gone"
    bench.live()
    bench.tick()
    bench.spark.locks.me = "another"
    bench.spark.run("down", E4B).expect(0)
    told = bench.spark.run("agent", "status").expect(9).out
    assert told.startswith("no agent runs")
    assert f"{E4B}    paused by ada" in told
    assert f"{FP8}  it runs: sparkctl status {FP8} asks it" in told


def test_without_an_applied_stack_it_waits_for_one(tmp_path: Path) -> None:
    bench = AgentBench(tmp_path)
    bench.spark.store.kept.clear()
    bench.live()
    bench.tick(3)
    assert bench.up == set()
    assert "nothing is applied: sparkctl apply STACK says" in bench.spark.run("agent", "status").expect(9).out
    bench.apply(bench.stack)
    bench.until(lambda: bench.up == {E4B, FP8})


# --- a process, on the simulator --------------------------------------------------------------------------------------


class AgentSpark(Operator):
    """An operator of a simulated Spark with a stack of one service, and an agent."""

    engine: SimEngine
    agents: list[Command]

    def recipe(self, load_s: float = 0.1) -> None:
        self.write("recipes/chat.yaml", RECIPE.format(port=free_port(), load_s=load_s))
        self.write("recipes/stacks/box.yaml", STACK)

    @property
    def running(self) -> tuple[str, float | None] | None:
        """The life of the service's container, None while none runs."""
        there = self.engine.container("chat")
        return (there.id, there.started_at) if there is not None and there.state == "running" else None

    def die(self) -> None:
        """Kill the service's server."""
        os.kill(self.engine.processes("chat")[0], signal.SIGKILL)

    def agent(self) -> Command:
        self.agents.append(self.start("agent", "run"))
        return self.agents[-1]

    def says(self, phase: str) -> bool:
        """Return whether the agent has the service in a phase, by its own file: a command takes more."""
        file = self.home / ".local/state/sparkctl/run/agent/simulated.json"
        try:
            services = json.loads(file.read_bytes())["services"]
        except FileNotFoundError:
            return False
        return [one["phase"] for one in services] == [phase]


@pytest.fixture
def spark(tmp_path: Path) -> Iterator[AgentSpark]:
    home = tmp_path / "home"
    home.mkdir()
    spark = AgentSpark(home, tmp_path / "folder")
    spark.environ = {
        "SPARKCTL_ENGINE": "sim",
        "SPARKCTL_SIM_DIR": str(tmp_path / "sim"),
        "USER": "ada",
    }
    spark.engine, spark.agents = SimEngine(tmp_path / "sim", {}), []
    spark.recipe()
    yield spark
    for agent in spark.agents:
        agent.kill()
        agent.wait(20)
    for container in spark.engine.containers():
        spark.engine.remove(container.id)


@only_thorough  # it waits for several looks of a real process; on a real engine the same is tried always
@pytest.mark.timeout(120)
def test_a_server_that_is_killed_comes_back_and_a_stopped_agent_leaves_it(spark: AgentSpark) -> None:
    spark.run("apply", "box").expect(0)
    first = spark.running
    agent = spark.agent()
    wait_for(lambda: spark.says("running"))
    assert spark.running == first, "what runs is adopted"
    second = spark.run("agent", "run").expect(4)
    assert f"another agent keeps this engine: process {agent.pid}, started by ada" in second.err
    spark.die()
    wait_for(lambda: spark.running not in {None, first})
    wait_for(lambda: spark.says("running"))
    spark.run("agent", "status").expect(0)
    agent.send_signal(signal.SIGTERM)
    _, err = agent.communicate(timeout=20)
    assert agent.returncode == 0, err
    assert "chat: starts again in 1" in err
    assert "ended: the services go on without it" in err
    assert spark.running is not None
    assert "no agent runs" in spark.run("agent", "status").expect(9).out


@only_thorough
@pytest.mark.timeout(120)
def test_a_start_of_a_killed_agent_is_joined_by_the_next(spark: AgentSpark) -> None:
    spark.recipe(load_s=6)
    agent = spark.agent()
    applying = spark.start("apply", "box")
    wait_for(lambda: spark.running is not None)
    applying.kill()
    applying.communicate(timeout=20)
    agent.kill()
    agent.communicate(timeout=20)
    spark.run("apply", "box").expect(0)
    spark.die()
    agent = spark.agent()
    wait_for(lambda: spark.running is not None)
    begun = spark.running
    agent.kill()
    agent.communicate(timeout=20)
    assert spark.running == begun
    agent = spark.agent()
    wait_for(lambda: spark.says("running"))
    assert spark.running == begun, "it was started once"
    agent.kill()
    agent.communicate(timeout=20)
