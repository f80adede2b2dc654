"""What a machine says of itself by /proc, /sys and nvidia-smi, on a tree that is as a Spark's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.world.host import GpuProcess, RdmaDevice
from sparkctl.world.local.bare.machine import BareHost

if TYPE_CHECKING:
    from pathlib import Path

MEMINFO = """\
MemTotal:       127600748 kB
MemFree:         1000000 kB
MemAvailable:   119000000 kB
Cached:          8000000 kB
SReclaimable:     500000 kB
SwapTotal:      16777212 kB
SwapFree:       16777212 kB
CmaTotal:          65536 kB
CmaFree:           70000 kB
HugePages_Total:       0
"""
ANSWERS = {
    "--query-gpu": [["NVIDIA GB10", "580.95.05", "12.1", "GPU-1", "0", "44", "11.42", "3"]],
    "--query-compute-apps": [["GPU-1", "4242", "88012"], ["GPU-1", "77", "[N/A]"], ["an odd line"]],
}


@pytest.fixture
def spark(tmp_path: Path) -> BareHost:
    for path, text in {
        "proc/meminfo": MEMINFO,
        "proc/4242/comm": "VLLM::EngineCor\n",
        "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  580.95.05  Release\n",
        "proc/sys/kernel/random/boot_id": "8a51\n",
        "etc/machine-id": "0123\n",
        "sys/class/net/lo/operstate": "unknown\n",
        "sys/class/net/enp1s0f1np1/operstate": "up\n",
        "sys/class/net/enp1s0f1np1/mtu": "9000\n",
        "sys/class/infiniband/rocep1s0f1/ports/1/state": "4: ACTIVE\n",
        "sys/class/infiniband/rocep1s0f1/device/net/enp1s0f1np1/x": "",
        "sys/class/infiniband/rocep1s0f0/ports/1/state": "1: DOWN\n",
    }.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return BareHost(tmp_path, lambda question: ANSWERS[question.partition("=")[0]])


def test_memory_is_as_the_kernel_counts_it(spark: BareHost) -> None:
    memory = spark.memory()
    assert memory.total_bytes == 127_600_748 * 1024
    assert memory.cached_bytes == 8_500_000 * 1024, "as psutil counts it: what of the slabs can be given back, too"
    assert memory.free_bytes == 1_000_000 * 1024


def test_gpus_and_who_holds_their_memory_are_as_nvidia_smi_says(spark: BareHost) -> None:
    (gpu,) = spark.gpus()
    assert (gpu.name, gpu.driver, gpu.compute_capability, gpu.uuid) == ("NVIDIA GB10", "580.95.05", "12.1", "GPU-1")
    assert (gpu.temperature_c, gpu.power_w, gpu.utilization_percent, gpu.total_bytes) == (44, 11.42, 3, None)
    assert spark.gpu_processes() == (GpuProcess(0, 4242, 88012 * 1024**2, "VLLM::EngineCor"), GpuProcess(0, 77, None))
    assert spark.gpu_bytes() == {4242: 88012 * 1024**2}


def test_facts_are_those_of_the_kernels_files(spark: BareHost) -> None:
    facts = spark.facts()
    assert (facts.machine_id, facts.boot_id, facts.driver) == ("0123", "8a51", "580.95.05")
    assert (facts.cma_total_bytes, facts.cma_free_bytes) == (65536 * 1024, 70000 * 1024)
    assert [(one.name, one.mtu, one.state) for one in facts.interfaces] == [("enp1s0f1np1", 9000, "up")]
    assert facts.rdma == (RdmaDevice("rocep1s0f0", "", "DOWN"), RdmaDevice("rocep1s0f1", "enp1s0f1np1", "ACTIVE"))


def test_what_is_not_there_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    bare = BareHost(tmp_path, lambda _: [])
    assert bare.memory().total_bytes == 0
    assert bare.gpus() == bare.gpu_processes() == ()
    facts = bare.facts()
    assert (facts.machine_id, facts.driver, facts.cma_total_bytes, facts.interfaces, facts.rdma) == (
        "",
        "",
        None,
        (),
        (),
    )


def test_another_host_that_answers_or_refuses_is_reached_and_one_that_is_not_there_is_not(spark: BareHost) -> None:
    assert spark.reaches("127.0.0.1") is True
    assert spark.reaches("no such name") is False
