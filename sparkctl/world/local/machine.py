"""The machine that sparkctl runs on: /proc by psutil, GPUs by NVML, each fact on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

from sparkctl.world.host import Activity, GpuProcess, MemoryReading
from sparkctl.world.local.bare.kernel import KernelHost
from sparkctl.world.local.nvml import Nvml

if TYPE_CHECKING:
    from collections.abc import Collection

    from sparkctl.world.host import Gpu


class LinuxHost(KernelHost):
    """The machine that sparkctl runs on; ``nvml`` is how its GPUs are read."""

    def __init__(self, nvml: Nvml | None = None) -> None:
        super().__init__()
        self._nvml = nvml or Nvml()

    def memory(self) -> MemoryReading:
        """Return the memory now, as /proc/meminfo has it."""
        virtual, swap = psutil.virtual_memory(), psutil.swap_memory()
        return MemoryReading(
            total_bytes=virtual.total,
            available_bytes=virtual.available,
            swap_total_bytes=swap.total,
            swap_free_bytes=swap.free,
            cached_bytes=getattr(virtual, "cached", 0),
            free_bytes=virtual.free,
        )

    def gpus(self) -> tuple[Gpu, ...]:
        """Return the GPUs; () when there is none or no driver."""
        return self._nvml.gpus()

    def gpu_bytes(self) -> dict[int, int]:
        """Return the GPU bytes by process id, from NVML's process list; empty when NVML has none."""
        used: dict[int, int] = {}
        for process in self._nvml.processes():
            if process.bytes is not None:
                used[process.pid] = used.get(process.pid, 0) + process.bytes
        return used

    def gpu_processes(self) -> tuple[GpuProcess, ...]:
        """Return the processes that hold memory of a GPU, whoever's they are; () when NVML has no list."""
        return tuple(GpuProcess(one.gpu, one.pid, one.bytes, *_who(one.pid)) for one in self._nvml.processes())

    def resident_bytes(self, pid: int) -> int | None:
        """Return the anonymous bytes of a process (resident less shared), or None when it is gone or hidden."""
        try:
            memory = psutil.Process(pid).memory_info()
        except psutil.Error:
            return None
        return max(0, int(memory.rss) - int(getattr(memory, "shared", 0)))

    def others_bytes(self, ours: Collection[int]) -> int | None:
        """Return the anonymous bytes of all processes but ``ours``."""
        held = [self.resident_bytes(pid) for pid in psutil.pids() if pid not in ours]
        return sum(one or 0 for one in held)

    def activity(self, pid: int) -> Activity | None:
        """Return what a process has used so far, or None when it is gone or hidden."""
        try:
            process = psutil.Process(pid)
            used = process.cpu_times()
        except psutil.Error:
            return None
        try:
            read: int | None = process.io_counters().read_bytes
        except psutil.Error:
            read = None  # another user's; its CPU is everybody's to see
        return Activity(used.user + used.system, read)

    def program_runs(self, name: str) -> bool:
        """Return whether a process of this name runs."""
        return any(process.info["name"] == name for process in psutil.process_iter(["name"]))


def _who(pid: int) -> tuple[str, str]:
    """Return the name and the user of a process, "" for what is not known."""
    try:
        process = psutil.Process(pid)
        name = process.name()
    except psutil.Error:
        return "", ""
    try:
        return name, process.username()
    except (psutil.Error, KeyError):
        return name, ""
