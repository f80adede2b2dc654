"""Units of agent and guard: what they say, that systemd reads them, and that they are written once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sparkctl.base.errors import InputError
from sparkctl.operations.agent import units
from sparkctl.operations.agent.install import SYSTEM, AskedUnits, install, planned, uninstall
from sparkctl.operations.agent.units import UnitValues
from sparkctl.world.ports import Account
from tests.support.agent_bench import AgentBench
from tests.support.fakes import FakeFiles, FakeReport

VALUES = UnitValues("/usr/bin/python3", "root", "/root", ("--engine", "docker"), models=("/srv/models", "/var/cache"))
ODD = replace(
    VALUES,
    options=("--engine", "docker", "--recipes", '/srv/my "own" 100% $HOME re\\cipes'),
    environment=('XDG_STATE_HOME=/srv/a "b" 50%',),
    models=("/srv/with a blank", "/srv/größe"),
)
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")


def said(unit: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{key}=")]


def test_the_agent_wants_docker_and_never_requires_it() -> None:
    unit = units.agent(VALUES, system=True)
    (after,) = said(unit, "After")
    assert after.split() == [
        "docker.service", "nvidia-cdi-refresh.service", "nvidia-persistenced.service", "network-online.target",
    ]  # fmt: skip
    assert said(unit, "Wants") == ["docker.service network-online.target"]
    assert not any(line.startswith(("Requires=", "BindsTo=", "PartOf=")) for line in unit.splitlines())
    assert said(unit, "RequiresMountsFor") == ["/srv/models /var/cache"]
    assert said(unit, "ExecStart") == ["/usr/bin/python3 -P -m sparkctl --engine docker agent run"]
    for line in ("Type=notify", "WatchdogSec=30", "KillMode=mixed", "OOMScoreAdjust=-500", "Restart=always"):
        assert line in unit.splitlines()


def test_a_user_has_an_agent_without_what_only_root_may_set() -> None:
    unit = units.agent(VALUES, system=False)
    assert not any(said(unit, key) for key in ("User", "OOMScoreAdjust", "After", "Wants"))
    assert said(unit, "WantedBy") == ["default.target"]


def test_the_guard_is_small_and_the_last_that_the_kernel_ends() -> None:
    unit = units.guard(VALUES)
    for line in ("OOMScoreAdjust=-900", "LimitMEMLOCK=infinity", "MemorySwapMax=0", "WatchdogSec=5", "TasksMax=8"):
        assert line in unit.splitlines()
    assert said(unit, "ExecStart")[0].endswith("guard run --run-folder /run/sparkctl --owner root")


@needs_systemd
@pytest.mark.parametrize("values", [VALUES, ODD], ids=["plain", "odd"])
def test_systemd_reads_the_units(tmp_path: Path, values: UnitValues) -> None:
    values = replace(values, python=sys.executable)
    texts = {
        units.AGENT_UNIT: units.agent(values, system=True),
        units.GUARD_UNIT: units.guard(values),
        "sparkctl-of-a-user.service": units.agent(values, system=False),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    # What a host without Docker or a driver lacks are other units, which these only want or come after.
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *(str(tmp_path / name) for name in texts)],
        capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


# --- written and removed ----------------------------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path: Path) -> AgentBench:
    bench = AgentBench(tmp_path)
    home = bench.spark.operator.home
    bench.spark.manager.accounts = {
        "ada": Account("ada", 1000, home, frozenset({"ada", "docker"})),
        "bob": Account("bob", 1001, Path("/home/bob"), frozenset({"bob"})),
    }
    return bench


def test_units_are_printed_and_nothing_is_written_without_yes(bench: AgentBench) -> None:
    done = bench.spark.run("agent", "install").expect(0)
    assert f"# {SYSTEM}/sparkctl-agent.service\n" in done.out
    assert f"# {SYSTEM}/sparkctl-guard.service\n" in done.out
    assert "\nUser=ada\n" in done.out
    assert "Environment=HOME=/home/operator" in done.out
    assert "RequiresMountsFor=/home/operator/" in done.out
    assert "ada reaches Docker through the group docker, and is root in all but name by that" in done.err
    assert "nothing is written" in done.err
    assert bench.spark.manager.asked == []


def test_a_user_who_does_not_reach_docker_is_named(bench: AgentBench) -> None:
    told = bench.spark.run("agent", "install", "--run-as", "bob").expect(0)
    assert "bob is not in that group yet: sudo usermod -aG docker bob" in told.err
    assert "folders are those of bob in /home/bob" in told.err
    refused = bench.spark.run("agent", "install", "--user", "--run-as", "bob").expect(2)
    assert "a unit of your own runs as you" in refused.err
    assert "what bob applied is not read here, so the unit has no RequiresMountsFor=" in told.err
    assert "\nRequiresMountsFor=" not in told.out
    assert "no user eve" in bench.spark.run("agent", "install", "--run-as", "eve").expect(2).err


def test_who_calls_is_known_by_the_system_and_not_by_the_environment(bench: AgentBench) -> None:
    bench.spark.environ |= {"USER": "eve", "SUDO_USER": "bob"}
    assert "\nUser=bob\n" in bench.spark.run("agent", "install").expect(0).out
    assert "Environment=HOME=/home/operator\n" in bench.spark.run("agent", "install", "--user").expect(0).out
    bench.spark.manager.accounts["ada"] = Account("ada", 1000, Path("/home/ada"), frozenset({"docker"}))
    told = bench.spark.run("agent", "install", "--user").expect(0)
    assert "Environment=HOME=/home/operator\n" in told.out, "a unit is written there, and its folders are there"
    assert "folders are those of" not in told.err
    del bench.spark.environ["SUDO_USER"], bench.spark.environ["USER"]  # as cron, or a unit, has it
    assert "\nUser=ada\n" in bench.spark.run("agent", "install").expect(0).out


def test_the_engine_that_is_meant_is_in_the_unit_whoever_it_runs_as(bench: AgentBench) -> None:
    bench.spark.environ |= {"SUDO_USER": "bob", "DOCKER_HOST": "unix:///run/other.sock", "HF_HOME": "/root/hf"}
    out = bench.spark.run("agent", "install").expect(0).out
    assert "\nUser=bob\n" in out
    assert "Environment=DOCKER_HOST=unix:///run/other.sock\n" in out
    assert "HF_HOME" not in out, "a folder of another user's"


def test_no_secret_of_the_environment_is_in_a_unit(bench: AgentBench) -> None:
    bench.spark.environ |= {"HF_TOKEN": "hf_secret", "VLLM_API_KEY": "also-secret", "HF_HOME": "/srv/hf"}
    out = bench.spark.run("agent", "install").expect(0).out
    assert "secret" not in out
    assert "Environment=HF_HOME=/srv/hf" in out


def test_units_are_written_once_and_again_where_they_differ(bench: AgentBench) -> None:
    world = bench.spark.world(FakeReport())
    world.files = files = FakeFiles()  # type: ignore[misc]  (what /etc is)
    asked = AskedUnits()
    done = install(world, planned(world, asked))
    assert done[:2] == [f"wrote {SYSTEM}/sparkctl-agent.service", f"wrote {SYSTEM}/sparkctl-guard.service"]
    assert set(files.written) == {SYSTEM / "sparkctl-agent.service", SYSTEM / "sparkctl-guard.service"}
    both = "sparkctl-agent.service sparkctl-guard.service"
    assert bench.spark.manager.asked == ["daemon-reload", f"enable {both}", f"restart {both}", f"start {both}"]
    again = planned(world, asked)
    assert all(one.there for one in again.files)
    bench.spark.manager.asked.clear()
    assert install(world, again) == ["enabled and started: sparkctl-agent.service, sparkctl-guard.service"]
    assert bench.spark.manager.asked == ["daemon-reload", f"enable {both}", f"start {both}"]
    changed = planned(world, AskedUnits(options=("--profile", "gb10")))
    assert not any(one.there for one in changed.files)
    assert uninstall(world, user=False)[-1] == "the services go on, and nothing starts them again by itself"
    assert "disable --now" in bench.spark.manager.asked[-2]
    assert "there is no unit" in uninstall(world, user=False)[0]


def test_a_manager_that_refuses_is_told_and_one_that_is_not_there_too(bench: AgentBench) -> None:
    world = bench.spark.world(FakeReport())
    world.files = FakeFiles()  # type: ignore[misc]
    bench.spark.manager.refuses["daemon-reload"] = "Interactive authentication required."
    with pytest.raises(InputError, match="systemctl --user daemon-reload: Interactive authentication required"):
        install(world, planned(world, AskedUnits(user=True)))
    bench.spark.manager.runs = False
    done = install(world, planned(world, AskedUnits(user=True)))
    assert done[-1].startswith("systemd does not run here; where it does: systemctl --user enable --now sparkctl-agent")


def test_a_name_with_a_line_end_stands_in_no_unit(bench: AgentBench) -> None:
    world = bench.spark.world(FakeReport())
    with pytest.raises(InputError, match="has a character that is not seen"):
        planned(world, AskedUnits(options=("--recipes", "/srv/a\nExecStartPre=/bin/evil")))
