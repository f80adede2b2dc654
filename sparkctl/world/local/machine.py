"""The machine that sparkctl runs on: /proc by psutil, GPUs by NVML, each fact on its own.

On a GB10 NVML has no memory totals (NOT_SUPPORTED) but a process list with exact bytes: nvitop#208, vllm#55828.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import psutil
import pynvml

from sparkctl.base.errors import EngineError
from sparkctl.world.host import Activity, Gpu, MemoryReading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DROP_CACHES: Final = Path("/proc/sys/vm/drop_caches")
T = TypeVar("T")


class LinuxHost:
    """The machine that sparkctl runs on."""

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
        with _nvml() as there:
            if not there:
                return ()
            driver = _or_none(lambda: _text(pynvml.nvmlSystemGetDriverVersion()))
            return tuple(_gpu(handle, driver) for handle in _handles())

    def gpu_bytes(self) -> dict[int, int]:
        """Return the GPU bytes by process id, from NVML's process list; empty when NVML has none."""
        used: dict[int, int] = {}
        with _nvml() as there:
            for handle in _handles() if there else ():
                for process in _or_none(partial(pynvml.nvmlDeviceGetComputeRunningProcesses, handle)) or ():
                    if process.usedGpuMemory is not None:
                        used[process.pid] = used.get(process.pid, 0) + process.usedGpuMemory
        return used

    def resident_bytes(self, pid: int) -> int | None:
        """Return the anonymous bytes of a process (resident less shared), or None when it is gone or hidden."""
        try:
            memory = psutil.Process(pid).memory_info()
        except psutil.Error:
            return None
        return max(0, int(memory.rss) - int(getattr(memory, "shared", 0)))

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


@contextmanager
def _nvml() -> Iterator[bool]:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield False
        return
    try:
        yield True
    finally:
        pynvml.nvmlShutdown()


def _handles() -> list[pynvml.c_nvmlDevice_t]:
    count = _or_none(pynvml.nvmlDeviceGetCount) or 0
    found = (_or_none(partial(pynvml.nvmlDeviceGetHandleByIndex, index)) for index in range(count))
    return [handle for handle in found if handle is not None]


def _gpu(handle: pynvml.c_nvmlDevice_t, driver: str | None) -> Gpu:
    capability = _or_none(lambda: pynvml.nvmlDeviceGetCudaComputeCapability(handle))
    memory = _or_none(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle))
    power = _or_none(lambda: pynvml.nvmlDeviceGetPowerUsage(handle))
    rates = _or_none(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle))
    return Gpu(
        name=_or_none(lambda: _text(pynvml.nvmlDeviceGetName(handle))),
        driver=driver,
        compute_capability=f"{capability[0]}.{capability[1]}" if capability else None,
        # Some drivers answer 0 instead of NOT_SUPPORTED (gpud#1170).
        total_bytes=(memory.total or None) if memory else None,
        uuid=_or_none(lambda: _text(pynvml.nvmlDeviceGetUUID(handle))),
        temperature_c=_or_none(lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)),
        power_w=power / 1000 if power is not None else None,
        utilization_percent=rates.gpu if rates else None,
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _or_none(ask: Callable[[], T]) -> T | None:
    """Return the answer, or None where this driver does not report it: one missing field must not hide the others."""
    try:
        return ask()
    except pynvml.NVMLError:
        return None


def _refused(address: str, port: int) -> int | None:
    """Return why nothing can listen there, as the error's number, or None: it can. Port 0 is any."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        return error.errno
    return None
