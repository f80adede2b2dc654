"""Jobs on a real Docker Engine, with a script of the standard library in the base image: seconds each."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command_line import wait_for
from tests.support.docker_spark import HOST
from tests.support.engine_fixtures import FIRST
from tests.support.killed import KillableMachine
from tests.support.killing import EACH_KILL, Subject
from tests.support.small_job import write_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sparkctl.world.docker.engine import DockerEngine
    from tests.support.command_line import Done
    from tests.support.docker_spark import Spark

pytestmark = pytest.mark.docker
EVERY = 1 if EACH_KILL else 4


class Bench:
    """A job on the operator's engine, under a name of this test's own."""

    def __init__(self, spark: Spark) -> None:
        self.spark = spark
        self.name = f"{spark.prefix}-shrink"
        self.container = f"sparkctl-job-{self.name}"
        self.output = write_job(spark.folder, self.name)

    def run(self, *arguments: str) -> Done:
        return self.spark.run("job", "run", self.name, *arguments)

    @property
    def state(self) -> str:
        return self.spark.state(self.container)

    @property
    def left(self) -> list[str]:
        """What is there of runs: the container, records, unfinished folders."""
        found = [self.state] if self.state else []
        found += [path.name for path in (self.spark.home / ".local/state/sparkctl/jobs/runs").glob("*")]
        return [*found, *(path.name for path in self.output.parent.glob("*.partial-*"))]

    def begun(self, *arguments: str) -> Any:  # noqa: ANN401  (a command that runs)
        """Start a run, and wait until its script hangs."""
        process = self.spark.start("job", "run", self.name, "--set", "with.hangs=save", *arguments)
        wait_for(lambda: '"save"' in self._log() or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        return process

    def _log(self) -> str:
        return self.spark.docker("logs", self.container) if self.state == "running" else ""


@pytest.fixture
def bench(docker_spark: Spark) -> Bench:
    return Bench(docker_spark)


def test_a_script_is_closed_in_and_what_it_makes_gets_a_name(bench: Bench) -> None:
    done = bench.run().expect(0)
    assert f"{bench.name}: made {bench.output}" in done.out
    seen = json.loads((bench.output / "seen.json").read_bytes())
    assert seen.pop("user") == (os.geteuid() or 65534)
    assert all(seen.values()), seen
    modes = {path.name: (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) for path in bench.output.iterdir()}
    assert modes == dict.fromkeys(
        ["config.json", "model.safetensors", "seen.json", "sparkctl-job.json"], (0o644, os.geteuid())
    )
    made = json.loads((bench.output / "sparkctl-job.json").read_bytes())
    assert (made["job"], made["layers"], made["image"]["reference"]) == (bench.name, 1, "sparkctl-test/base:latest")
    assert made["seconds"] < 60
    assert bench.left == []
    assert "already made" in bench.run().expect(0).out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_the_command_stops_the_job(number: signal.Signals, bench: Bench) -> None:
    process = bench.begun()
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert bench.left == []
    assert not bench.output.exists()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_a_closed_terminal_and_a_kill_leave_the_job_and_it_can_be_stopped(number: signal.Signals, bench: Bench) -> None:
    process = bench.begun()
    process.send_signal(number)
    process.communicate(timeout=60)
    assert bench.state == "running"
    assert bench.run().expect(4).err.count("it runs already, and makes") == 1  # with other values
    bench.spark.run("job", "stop", bench.name).expect(0)
    assert bench.left == []


def test_a_job_that_ends_while_nobody_waits_is_finished_by_the_next_command(bench: Bench) -> None:
    process = bench.spark.start("job", "run", bench.name, "--set", "with.waits=4")
    wait_for(lambda: bench.state == "running" or process.poll() is not None)
    assert bench.state == "running", process.communicate()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    wait_for(lambda: bench.state == "exited")
    assert not bench.output.exists()
    rows = {row["name"]: row for row in bench.spark.run("job", "list", "--json").expect(0).json}
    assert rows[bench.name]["run"] == "ended, not finished"
    assert "is not checked yet" in bench.run().expect(4).err
    bench.run("--set", "with.waits=4").expect(0)
    assert bench.left == []


def test_what_a_reboot_leaves_is_cleaned(bench: Bench) -> None:
    process = bench.begun()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    bench.spark.docker("kill", bench.container)
    wait_for(lambda: bench.state == "exited")
    assert bench.spark.run("job", "clean").expect(0).out.count("was killed or failed") == 1
    bench.spark.run("job", "clean", "--yes").expect(0)
    assert bench.left == []


def test_another_command_stops_a_job_that_one_waits_for(bench: Bench) -> None:
    process = bench.begun()
    assert "runs it already" in bench.run().expect(4).err
    bench.spark.run("job", "stop", bench.name).expect(0)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 10
    assert "its container was removed while it ran" in err
    assert bench.left == []


def test_a_job_that_holds_too_much_is_killed_and_the_host_is_not(bench: Bench) -> None:
    done = bench.run("--set", f"with.holds={600 * 2**20}").expect(10)
    assert "it was killed: it needs more than the 352.0 MiB of memory that it may take" in done.err
    assert f"with nothing held: sparkctl job run {bench.name} --set with.holds=0" in done.err
    assert bench.left == []


def test_the_log_is_followed_and_kept(bench: Bench) -> None:
    bench.run("--set", "with.fails=quantize").expect(10)
    out = bench.spark.run("job", "logs", bench.name).expect(0).out
    assert "error: as it was told" in out


def _machine(tmp_path: Path, name: str, host: str, engine: DockerEngine) -> tuple[Subject, Path]:
    home = tmp_path / name
    machine = KillableMachine(home, home / "folder", home, host, "test")
    job = f"k{time.monotonic_ns() % 10**10}"
    (machine.folder / "recipes" / "hosts").mkdir(parents=True)
    (machine.folder / "recipes" / "hosts" / "test.yaml").write_text(HOST)
    output = write_job(machine.folder, job)
    return Subject(machine, engine, {"A": job}, f"sparkctl-job-{job}"), output


@pytest.mark.timeout(3000 if EACH_KILL else 600)
@FIRST
def test_after_a_kill_at_any_moment_the_next_command_makes_the_product(
    tmp_path: Path, docker_host: str, docker_engine: DockerEngine, record_property: Callable[[str, object], None]
) -> None:
    run = ("job", "run", "A")
    whole, _ = _machine(tmp_path, "whole", docker_host, docker_engine)
    count = int(whole.killed(0, run).expect(0).err.splitlines()[-1])
    kills = [*range(1, count + 1, EVERY)]
    numbers = [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM]
    for place, last in enumerate(kills):
        for number in numbers if EACH_KILL else [numbers[place % 3]]:
            subject, output = _machine(tmp_path, f"k{last}{number.name}", docker_host, docker_engine)
            try:
                subject.killed(last, run, number)
                looks_made = [path for path in output.parent.glob("*/config.json") if ".partial-" not in str(path)]
                assert len(looks_made) == 1 + output.exists()
                subject.machine.run("ps").expect(0)
                subject.machine.run(*subject.words(run)).expect(0)
                assert subject.containers() == {}, f"after {last}"
                assert [*output.parent.glob("*.partial-*")] == []
                assert [*(subject.machine.home / "state/jobs/runs").glob("*")] == []
                assert subject.machine.run("job", "clean").expect(0).out == "nothing is left over\n"
            finally:
                subject.clear()
    record_property("kills", f"{len(kills)} of {count}")
    assert count >= 12
