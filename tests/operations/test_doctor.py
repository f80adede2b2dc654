"""What `sparkctl doctor` makes of what a host reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.units import GIB
from sparkctl.memory.pool import GpuPool, Pool
from sparkctl.operations.agent.state_file import AGENT
from sparkctl.operations.doctor import Reported, Status, examine
from sparkctl.world.engine import EngineInfo
from sparkctl.world.host import Gpu, GpuProcess, MemoryReading
from tests.support.box import Box

if TYPE_CHECKING:
    from pathlib import Path

GB10 = Gpu("NVIDIA GB10", "580.142", "12.1", None)
SPARK = Reported(
    engine=EngineInfo("docker", "id", "29.2.1", runtimes=("nvidia", "runc")),
    gpus=[GB10],
    processes=[GpuProcess(0, 37388, 100 * GIB)],
    memory=MemoryReading(120 * GIB, 100 * GIB, 16 * GIB, 16 * GIB, 5 * GIB),
    pool=Pool(120 * GIB, 100 * GIB, 10 * GIB, gpus=(GpuPool(0, "NVIDIA GB10"),)),
    disks={"/home/o/models": 900 * GIB},
    earlyoom=True,
)


def found(reported: Reported) -> dict[str, tuple[Status, str]]:
    return {finding.subject: (finding.status, finding.found) for finding in examine(reported)}


def test_a_healthy_spark_has_no_blocker_and_shows_what_nvml_does_not_report() -> None:
    findings = found(SPARK)
    assert Status.BLOCKER not in {status for status, _ in findings.values()}
    assert findings["gpu 0"] == (
        Status.OK,
        "NVIDIA GB10, driver 580.142, compute capability 12.1, memory not reported",
    )
    assert findings["gpu memory by process"] == (Status.OK, "process 37388: 100.0 GiB")
    assert findings["memory"] == (Status.OK, "100.0 GiB of 120.0 GiB available; 90.0 GiB above the reserve")
    assert findings["guard"] == (Status.NOTE, "none runs; earlyoom does")


def test_a_gpu_that_reports_nothing_is_still_shown() -> None:
    status, text = found(SPARK._replace(gpus=[Gpu(None, None, None, None)]))["gpu 0"]
    assert status is Status.WARNING
    assert text == "not reported, driver not reported, compute capability not reported, memory not reported"


@pytest.mark.parametrize(
    ("change", "subject"),
    [
        ({"gpus": []}, "gpu"),
        ({"engine": EngineError("no Docker engine at unix:///var/run/docker.sock", hint="start it")}, "engine"),
        ({"engine": EngineInfo("docker", "id", "29.2.1", runtimes=("runc",))}, "container toolkit"),
        ({"memory": MemoryReading(120 * GIB, 9 * GIB)}, "memory"),
    ],
)
def test_what_stops_a_start_is_a_blocker_with_a_consequence_and_a_fix(change: dict[str, object], subject: str) -> None:
    (finding,) = [f for f in examine(SPARK._replace(**change)) if f.subject == subject]  # type: ignore[arg-type]
    assert finding.status is Status.BLOCKER
    assert finding.consequence
    assert finding.fix


def test_cdi_devices_are_as_good_as_the_runtime() -> None:
    engine = EngineInfo("docker", "id", "29.2.1", cdi_devices=("nvidia.com/gpu=all",))
    assert found(SPARK._replace(engine=engine))["container toolkit"] == (Status.OK, "CDI: nvidia.com/gpu=all")


def test_an_engine_that_resolves_cdi_devices_and_cannot_list_them_is_no_blocker() -> None:
    engine = EngineInfo("docker", "id", "26.1.5", runtimes=("runc",), cdi_devices=None)
    (finding,) = [f for f in examine(SPARK._replace(engine=engine)) if f.subject == "container toolkit"]
    assert finding.status is Status.NOTE
    assert finding.consequence == "gpus: cdi:nvidia.com/gpu=all starts where a CDI specification describes that device"
    assert finding.fix


def test_an_engine_elsewhere_is_a_warning_that_says_what_still_works() -> None:
    engine = EngineInfo("docker", "id", "29.2.1", elsewhere="DOCKER_HOST is ssh://spark2", runtimes=("nvidia",))
    (finding,) = [f for f in examine(SPARK._replace(engine=engine)) if f.subject == "engine"]
    assert finding.status is Status.WARNING
    assert finding.consequence == "render, ps, logs and down work; plan, up and verify-mods refuse"


@pytest.mark.parametrize(
    ("change", "subject", "status"),
    [
        ({"earlyoom": False}, "guard", Status.WARNING),
        ({"guard": True}, "earlyoom", Status.NOTE),
        ({"guard": True, "earlyoom": False}, "guard", Status.OK),
        ({"applied": "box"}, "agent", Status.NOTE),
        ({"applied": "box", "agent": True}, "agent", Status.OK),
        ({"memory": MemoryReading(120 * GIB, 100 * GIB)}, "swap", Status.OK),
        ({"memory": MemoryReading(120 * GIB, 100 * GIB, 16 * GIB, 10 * GIB)}, "swap", Status.WARNING),
        ({"memory": MemoryReading(120 * GIB, 100 * GIB, cached_bytes=40 * GIB)}, "page cache", Status.NOTE),
        ({"disks": {"/home/o/models": 20 * GIB}}, "disk for /home/o/models", Status.WARNING),
        ({"disks": {"/home/o/models": None}}, "disk for /home/o/models", Status.NOTE),
    ],
)
def test_what_an_operator_should_know_is_no_blocker(change: dict[str, object], subject: str, status: Status) -> None:
    assert found(SPARK._replace(**change))[subject][0] is status  # type: ignore[arg-type]


def test_it_says_whether_an_agent_keeps_what_was_applied(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.spark.run_folder = tmp_path / "run"
    assert "agent:" not in box.run("doctor").out
    box.apply("a").expect(0)
    told = box.run("doctor").expect(0).out
    assert "agent: none runs\n" in told
    assert "nothing of the applied stack box is started again by itself, or after a reboot" in told
    assert "guard: none runs" in told
    assert "sparkctl guard run" in told
    assert "apt install" not in told
    box.spark.locks.working.add(AGENT)
    assert "agent: runs, and keeps box" in box.run("doctor").expect(0).out
    box.spark.store.broken = InputError("the store is damaged")
    assert "agent: runs" in box.run("doctor").expect(0).out


def test_podman_is_named_and_gives_gpus_in_its_own_way() -> None:
    podman = EngineInfo("podman", "id", "5.4.1", runtimes=("crun", "nvidia"))
    findings = found(SPARK._replace(engine=podman))
    assert findings["engine"] == (Status.WARNING, "podman 5.4.1, on a socket of Docker's kind")
    assert findings["container toolkit"][0] is Status.NOTE
