"""The agent on a real Docker Engine: what is killed comes back, the guard is told its processes, a stop leaves it."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.guard.alone import kernel, victims_file
from tests.support.command_line import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.command_server import Command
    from tests.support.docker_spark import Spark

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]


@pytest.fixture
def service(docker_spark: Spark, tmp_path: Path) -> str:
    """Return the one service of an applied stack."""
    name = docker_spark.recipe("chat")
    docker_spark.environ["SPARKCTL_RUN_FOLDER"] = str(tmp_path / "run")
    lines = "host: {guard: {act: 300 MiB, floor: 200 MiB}}\n"  # below the reserve of these tests' profile
    text = f"{lines}services: {{{name}: {{recipe: {name}, restart: {{first: 1s, most: 1s}}}}}}\n"
    docker_spark.write("recipes/stacks/box.yaml", text)
    docker_spark.run("apply", "box").expect(0)
    return name


@pytest.fixture
def agent(docker_spark: Spark, service: str) -> Iterator[Command]:  # noqa: ARG001  (applied before)
    process = docker_spark.start("agent", "run")
    yield process
    process.kill()
    process.wait(20)


def test_a_killed_container_comes_back_and_a_stopped_agent_leaves_it(
    docker_spark: Spark, service: str, agent: Command, tmp_path: Path
) -> None:
    spark = docker_spark

    def life() -> str:
        try:
            return spark.docker("inspect", "--format", "{{.Id}} {{.State.Status}} {{.State.StartedAt}}", service)
        except subprocess.CalledProcessError:
            return ""  # for a moment nothing has its name: it is set aside for its successor

    first = life()
    file = tmp_path / "run/agent/victims.json"
    wait_for(file.exists)
    told = victims_file.read(str(file), [os.getuid()])
    assert told is not None
    victim = next(one for one in told.victims if one.name == service)
    (main, *_) = victim.pids
    assert main[0] == int(spark.docker("inspect", "--format", "{{.State.Pid}}", service))
    assert kernel.start_of(main[0]) == main[1]
    assert first.startswith(victim.container)

    spark.docker("kill", service)
    wait_for(lambda: life() != first and " running " in life(), 90)
    wait_for(lambda: spark.run("agent", "status").code == 0, 60)
    second = life()
    agent.send_signal(signal.SIGTERM)
    _, err = agent.communicate(timeout=20)
    assert agent.returncode == 0, err
    assert f"{service}: starts again in 1" in err
    assert life() == second
