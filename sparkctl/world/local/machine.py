"""The machine that sparkctl runs on: /proc by psutil, GPUs by NVML, each fact on its own."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from sparkctl.base.errors import EngineError
from sparkctl.world.host import Activity, GpuProcess, MemoryReading, ProcessIdentity
from sparkctl.world.local import processes
from sparkctl.world.local.nvml import Nvml

if TYPE_CHECKING:
    from collections.abc import Collection

    from sparkctl.world.host import Gpu

_DROP_CACHES: Final = Path("/proc/sys/vm/drop_caches")


class LinuxHost:
    """The machine that sparkctl runs on; ``nvml`` is how its GPUs are read."""

    def __init__(self, nvml: Nvml | None = None) -> None:
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

    def identity(self, pid: int) -> ProcessIdentity | None:
        """Return what tells a process from a later one of its number, or None when it is gone."""
        began = processes.began(pid)
        return None if began is None else ProcessIdentity(int(began), processes.cgroup(pid))

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

    def port_taken(self, address: str, port: int) -> bool:
        """Return whether something listens on the port already."""
        return _refused(address, port) == errno.EADDRINUSE

    def has_address(self, address: str) -> bool:
        """Return whether an IP address is one of this host's, or stands for all of them."""
        return _refused(address, 0) is None

    def program_runs(self, name: str) -> bool:
        """Return whether a process of this name runs."""
        return any(process.info["name"] == name for process in psutil.process_iter(["name"]))

    def drop_caches(self) -> None:
        """Write what is dirty to the disk, and ask the kernel to give back the page cache.

        Raises:
            EngineError: only root may; the hint is the command.
        """
        os.sync()
        try:
            _DROP_CACHES.write_text("1\n")
        except OSError as error:
            message = f"the page cache cannot be dropped: {error.strerror}"
            raise EngineError(message, hint=f"sudo sh -c 'sync; echo 1 > {_DROP_CACHES}'") from None

    def disk_free_bytes(self, path: Path) -> int | None:
        """Return the free bytes of the file system that holds (or would hold) ``path``."""
        for folder in (path, *path.parents):
            with suppress(OSError, ValueError):
                if folder.exists():
                    return shutil.disk_usage(folder).free
        return None


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


def _refused(address: str, port: int) -> int | None:
    """Return why nothing can listen there, as the error's number, or None: it can. Port 0 is any."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        return error.errno
    return None
