"""A host with systemd, in a container: the units as `agent install` writes them, from the boot to a power cut.

Its engine is one inside, which a test may restart without harm to others.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.agent.units import AGENT_UNIT, GUARD_UNIT
from tests.support.booted import FOLDER, IMAGE, RESOURCE, BootedHost, may
from tests.support.command_line import wait_for
from tests.support.engine_fixtures import FIRST, not_here
from tests.support.thorough import only_everything, only_thorough

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.world.docker.engine import DockerEngine

pytestmark = [pytest.mark.docker, FIRST, only_thorough, pytest.mark.timeout(240)]

BOTH = (AGENT_UNIT, GUARD_UNIT)
STACK = """\
host: {guard: {act: 300 MiB, floor: 200 MiB}}
services:
  chat: {recipe: chat, priority: 10}
  embed: {recipe: embed, priority: 90}
"""
RUNS = ["active", "running", "notify"]


@pytest.fixture(scope="module")
def host(docker_host: str, docker_engine: DockerEngine, tiny_model: Path) -> Iterator[BootedHost]:
    """Return a host on which a stack was applied and the units were installed; six starts are all that it has."""
    with kept_by_units(docker_host, docker_engine, tiny_model) as host:
        yield host


@pytest.fixture
def another(docker_host: str, docker_engine: DockerEngine, tiny_model: Path) -> Iterator[BootedHost]:
    """Return a host like it, on which nothing was started again yet: within an hour the agent starts six times."""
    with kept_by_units(docker_host, docker_engine, tiny_model) as host:
        yield host


@contextmanager
def kept_by_units(docker_host: str, docker_engine: DockerEngine, model: Path) -> Iterator[BootedHost]:
    if docker_engine.image(IMAGE) is None:
        not_here("boot", f"there is no image {IMAGE}: run tests/testbed/testbed boot")
    host = BootedHost(docker_host, f"sparkctl-test-boot-{os.getpid()}-{time.monotonic_ns()}", model)
    try:
        host.boot()
        host.recipes("chat", "embed")
        host.write(f"{FOLDER}/recipes/stacks/box.yaml", STACK)
        host.sparkctl("apply", "box").expect(0)
        host.sparkctl("agent", "install", "--yes").expect(0)
        as_declared(host)
        yield host
    finally:
        host.remove()


def as_declared(host: BootedHost) -> None:
    """Wait until the agent says to systemd that all is well."""
    wait_for(lambda: host.show(AGENT_UNIT, "StatusText") == ["generation 1 is as declared"], 90)


def started(lines: list[str]) -> list[str]:
    """Return whom the agent started, in its order."""
    return [line.partition(":")[0] for line in lines if ": starts it: " in line]


def failures(lines: list[str]) -> list[str]:
    """Return what the agent took for a failure."""
    return [line for line in lines if "failure" in line or "held" in line]


def test_both_units_run_and_the_guard_is_locked_in_memory(host: BootedHost) -> None:
    for unit in BOTH:
        assert host.show(unit, "ActiveState", "SubState", "Type", "NRestarts") == [*RUNS, "0"]
    pids = {unit: host.show(unit, "MainPID")[0] for unit in BOTH}
    locked, resident = (
        int(host.inside("sed", "-n", f"s/^{key}:\\s*\\([0-9]*\\) kB/\\1/p", f"/proc/{pids[GUARD_UNIT]}/status").out)
        for key in ("VmLck", "VmRSS")
    )
    assert locked >= resident > 0
    score = {unit: host.inside("cat", f"/proc/{pids[unit]}/oom_score_adj").out.strip() for unit in BOTH}
    if may(RESOURCE):
        assert score == {AGENT_UNIT: "-500", GUARD_UNIT: "-900"}
    else:  # systemd leaves it as it is, and the guard says so
        assert any("not allowed: OOM score -900" in line for line in host.journal(GUARD_UNIT))
    assert host.inside("ps", "-o", "ni=", "-p", pids[GUARD_UNIT]).out.strip() == "-20"
    told = host.sparkctl("guard", "status").out
    assert "order: chat, embed" in told, "what the agent wrote the guard has read"
    host.sparkctl("agent", "status").expect(0)
    assert len(host.lives()) == 2, "what ran was adopted"


def test_who_hangs_is_ended_by_the_watchdog_and_begun_anew(host: BootedHost) -> None:
    host.write(f"/etc/systemd/system/{AGENT_UNIT}.d/soon.conf", "[Service]\nWatchdogSec=5\nRestartSec=100ms\n")
    host.inside("systemctl", "daemon-reload").expect(0)
    host.inside("systemctl", "restart", AGENT_UNIT).expect(0)
    as_declared(host)
    lives, began = host.lives(), {unit: len(host.journal(unit)) for unit in BOTH}
    pids = [host.show(unit, "MainPID")[0] for unit in BOTH]
    host.inside("kill", "-STOP", *pids).expect(0)
    wait_for(lambda: [host.show(unit, "NRestarts") for unit in BOTH] == [["1"], ["1"]], 60)
    wait_for(lambda: all(host.show(unit, "ActiveState", "SubState", "Type") == RUNS for unit in BOTH), 60)
    for unit in BOTH:
        assert any("Watchdog timeout (limit 5s)!" in line for line in host.journal(unit, began[unit]))
    as_declared(host)
    assert host.lives() == lives, "the services went on without it"


@pytest.mark.parametrize("live", [True, False], ids=["services outlive it", "services end with it"])
def test_an_engine_that_is_restarted_makes_no_service_fail(host: BootedHost, *, live: bool) -> None:
    host.write("/etc/docker/daemon.json", f'{{"live-restore": {str(live).lower()}}}\n')
    host.inside("systemctl", "reload", "docker").expect(0)
    lives, began = host.lives(), len(host.journal(AGENT_UNIT))
    host.inside("systemctl", "stop", "docker.socket", "docker.service").expect(0)
    wait_for(lambda: any("no Docker engine answers" in line for line in host.journal(AGENT_UNIT, began)))
    host.inside("systemctl", "start", "docker.service").expect(0)
    wait_for(lambda: any("over: no Docker engine answers" in line for line in host.journal(AGENT_UNIT, began)))
    wait_for(lambda: set(host.lives()) == {"chat", "embed"}, 60)
    as_declared(host)
    said = host.journal(AGENT_UNIT, began)
    assert failures(said) == []
    assert started(said) == ([] if live else ["embed", "chat"])
    assert (host.lives() == lives) is live
    host.sparkctl("agent", "status").expect(0)


@only_everything
def test_an_engine_that_was_restarted_between_two_looks_holds_nobody(host: BootedHost) -> None:
    """Nobody can tell it from two servers that ended: they wait as after any failure, and come back one at a time."""
    lives, began = host.lives(), len(host.journal(AGENT_UNIT))
    host.inside("systemctl", "restart", "docker.service").expect(0)
    wait_for(lambda: set(host.lives()) == {"chat", "embed"} and host.lives() != lives, 90)
    as_declared(host)
    said = host.journal(AGENT_UNIT, began)
    assert started(said) == ["embed", "chat"]
    assert not any("held" in line for line in said)
    host.sparkctl("agent", "status").expect(0)


def test_after_a_reboot_all_comes_back_by_priority(host: BootedHost) -> None:
    before = host.lives()
    host.reboot()
    came_back(host, before)


@only_everything
def test_after_a_power_cut_all_comes_back_and_whom_an_operator_stopped_stays_down(another: BootedHost) -> None:
    host, before = another, another.lives()
    host.cut_power()
    came_back(host, before)
    host.sparkctl("down", "chat").expect(0)
    host.reboot()
    wait_for(lambda: set(host.lives()) == {"embed"}, 60)
    wait_for(lambda: "paused" in host.show(AGENT_UNIT, "StatusText")[0])
    assert set(host.lives()) == {"embed"}
    assert "chat   paused by" in host.sparkctl("agent", "status").expect(9).out


def came_back(host: BootedHost, before: dict[str, str]) -> None:
    """Hold what is so after a boot against what was declared, and against what ran before."""
    wait_for(lambda: set(host.lives()) == {"chat", "embed"}, 60)
    as_declared(host)
    for unit in BOTH:
        assert host.show(unit, "ActiveState", "SubState", "Type", "NRestarts") == [*RUNS, "0"]
    said = host.journal(AGENT_UNIT)
    assert failures(said) == []
    assert started(said) == ["embed", "chat"]
    assert not set(host.lives().values()) & set(before.values())
    host.sparkctl("agent", "status").expect(0)
