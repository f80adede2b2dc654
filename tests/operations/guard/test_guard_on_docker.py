"""A real container that takes memory, beside a service of higher priority, on a real Docker Engine."""

from __future__ import annotations

import os
import subprocess
import urllib.request
from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.guard.alone.lines import GIB, Lines
from tests.support.command_line import free_port
from tests.support.engine_fixtures import BASE
from tests.support.guarding import HOG, PATIENCE_S, GuardBench, available_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.world.docker.engine import DockerEngine
    from tests.support.docker_spark import Spark

pytestmark = pytest.mark.docker
ENOUGH = 8 * GIB
"""What has to be available before a container takes 2.5 GiB of it for a moment."""
ANSWERED = 200
ANSWER_S = 60
"""On a machine whose cores and memory are taken at that moment by others too."""


def answers(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=ANSWER_S) as reply:
        return int(reply.status)


def test_a_container_that_takes_memory_ends_and_the_service_of_higher_priority_answers(
    docker_spark: Spark, docker_engine: DockerEngine, tmp_path: Path
) -> None:
    available = available_bytes()
    if available < ENOUGH:
        pytest.skip("less than 8 GiB are available")
    spark, port, bench = docker_spark, free_port(), GuardBench(tmp_path / "run")
    high, hog = spark.recipe("high", port=port), f"{spark.prefix}-hog"
    spark.environ["SPARKCTL_RUN_FOLDER"] = str(tmp_path / "run")
    spark.run("up", high).expect(0)
    words = ["docker", "run", "--rm=false", "-i", "--name", hog, "-v", f"{HOG}:/hog.py:ro", "--entrypoint", "python3"]
    taking = subprocess.Popen(
        [*words, BASE, "-I", "-S", "/hog.py", "4", "2.5"], env=spark.environment, stdin=subprocess.PIPE
    )
    try:
        there = {}
        while hog not in there or not docker_engine.processes(there[hog]):
            there = {one.name: one.id for one in docker_engine.containers()}
        bench.list_containers(docker_engine, (hog, 1, there[hog]), (high, 10, there[high]))
        guard = bench.guard(Lines(available - 3 * GIB // 4, available - GIB, available - 3 * GIB // 2))
        assert taking.stdin is not None
        taking.stdin.write(b"go\n")
        taking.stdin.flush()
        while taking.poll() is None:
            assert answers(port) == ANSWERED
        (action, *_) = bench.written()
        assert (action.victim, action.container) == (hog, there[hog])
        assert action.by == ("cgroup" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "processes")  # noqa: PTH110
        assert spark.docker("inspect", "--format", "{{.State.ExitCode}} {{.State.OOMKilled}}", hog) in {
            "137 false",  # killed
            "143 false",  # asked, where memory went slowly
        }
        assert spark.state(high) == "running"
        assert answers(port) == ANSWERED
        refused = spark.run("up", spark.recipe("later")).expect(3)
        assert "the guard has closed admission" in refused.err
        assert guard.poll() is None
    finally:
        bench.close()
        subprocess.run(["docker", "rm", "--force", hog], env=spark.environment, capture_output=True, check=True)
        taking.communicate(timeout=PATIENCE_S)
