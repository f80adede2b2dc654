"""Code that a model wrote: run in a container of its own, bounded, and gone afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.checks.check import Runs
from sparkctl.operations.checks.judge import ran
from sparkctl.operations.checks.run_code import TIMEOUT_S, CodeRunner
from sparkctl.world.labels import LABEL_PROCESS
from sparkctl.world.local.clock import SystemClock
from tests.support.engine_fixtures import BASE
from tests.support.fake_engine import FakeEngine
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.world.docker.engine import DockerEngine

RUNS = Runs(call="price(1)", near=10.45)
ANSWER = "Here it is:\n```python\ndef price(x):\n    return 10.45 * x\n```\nEnjoy."


def test_what_an_answers_code_computes_is_judged() -> None:
    programs = []

    def run(code: str) -> tuple[bool, str]:
        programs.append(code)
        return True, "10.4506"

    assert ran(RUNS, ANSWER, run).passed
    assert programs == ["def price(x):\n    return 10.45 * x\n\nprint(price(1))"]
    assert not ran(RUNS, ANSWER, lambda _: (True, "11.2")).passed
    assert not ran(RUNS, ANSWER, lambda _: (False, "10.45")).passed
    lost = ran(RUNS, ANSWER, lambda _: (False, "NameError: name 'norm' is not defined"))
    assert (lost.passed, lost.measured) == (False, "NameError: name 'norm' is not defined")


def test_a_program_that_does_not_end_is_ended() -> None:
    engine = FakeEngine(images={"image:1": {}})
    clock = FakeClock()
    assert CodeRunner(engine, clock, "image:1", "me").run("while True: pass") == (False, "it did not end within 20s")
    assert clock.now >= TIMEOUT_S
    assert engine.there == {}


@pytest.mark.docker
def test_it_runs_without_a_network_and_leaves_nothing(docker_engine: DockerEngine, prefix: str) -> None:
    runner = CodeRunner(docker_engine, SystemClock(), BASE, prefix)
    assert runner.run("print(1 + 1)") == (True, "2")
    well, last = runner.run("import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=3)")
    assert not well
    assert "Network is unreachable" in last
    well, last = runner.run("open('/etc/passwd', 'a')")
    assert not well
    assert "PermissionError" in last
    assert runner.run("raise SystemExit(3)") == (False, "exit code 3 and no word")
    assert [one for one in docker_engine.containers() if one.labels.get(LABEL_PROCESS) == prefix] == []


def test_a_simulated_engine_runs_no_code(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    spark.run("up", "e4b-nvfp4").expect(0)
    refused = spark.run("check", "e4b-nvfp4", "--only", "code", "--run-code").expect(4)
    assert "no code can be run in it" in refused.err
