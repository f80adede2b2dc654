"""NVML's facts about the GPUs of this machine, each read separately: an unreported fact hides no other one.

On a GB10 NVML has no memory totals (NOT_SUPPORTED) but a process list with exact bytes: nvitop#208, vllm#55828. On a
card with its own memory CUDA has less than NVML's total: that counts what the driver keeps for itself, which the second
version of NVML's structure says apart ("reserved").
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import pynvml

from sparkctl.world.host import Gpu, GpuProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


class Nvml:
    """Reads GPUs through ``library``, which has the names of nvidia-ml-py's module ``pynvml``."""

    def __init__(self, library: Any = pynvml) -> None:  # noqa: ANN401  (a module without types)
        self._library = library

    def gpus(self) -> tuple[Gpu, ...]:
        """Return the GPUs; () when there is none or no driver."""
        with self._open() as there:
            if not there:
                return ()
            driver = self._or_none(lambda: _text(self._library.nvmlSystemGetDriverVersion()))
            return tuple(self._gpu(index, handle, driver) for index, handle in self._handles())

    def processes(self) -> tuple[GpuProcess, ...]:
        """Return the processes that compute or draw, by GPU; () when NVML has no list.

        One that does both is in both lists, and counts once.
        """
        library, found = self._library, []
        with self._open() as there:
            for index, handle in self._handles() if there else ():
                computing = self._or_none(partial(library.nvmlDeviceGetComputeRunningProcesses, handle)) or ()
                drawing = self._or_none(partial(library.nvmlDeviceGetGraphicsRunningProcesses, handle)) or ()
                each = {one.pid: one for one in (*drawing, *computing)}
                found += [GpuProcess(index, pid, one.usedGpuMemory) for pid, one in each.items()]
        return tuple(found)

    @contextmanager
    def _open(self) -> Iterator[bool]:
        try:
            self._library.nvmlInit()
        except self._library.NVMLError:
            yield False
            return
        try:
            yield True
        finally:
            self._or_none(self._library.nvmlShutdown)

    def _handles(self) -> list[tuple[int, Any]]:
        """Return the GPUs that answer, by NVML's index: one that fell off the bus leaves a gap."""
        library = self._library
        count = self._or_none(library.nvmlDeviceGetCount) or 0
        found = [(index, self._or_none(partial(library.nvmlDeviceGetHandleByIndex, index))) for index in range(count)]
        return [(index, handle) for index, handle in found if handle is not None]

    def _gpu(self, index: int, handle: Any, driver: str | None) -> Gpu:  # noqa: ANN401  (a pointer of NVML's)
        library = self._library
        capability = self._or_none(lambda: library.nvmlDeviceGetCudaComputeCapability(handle))
        power = self._or_none(lambda: library.nvmlDeviceGetPowerUsage(handle))
        rates = self._or_none(lambda: library.nvmlDeviceGetUtilizationRates(handle))
        mig = self._or_none(lambda: library.nvmlDeviceGetMigMode(handle))
        total, free = self._memory(handle)
        return Gpu(
            name=self._or_none(lambda: _text(library.nvmlDeviceGetName(handle))),
            driver=driver,
            compute_capability=f"{capability[0]}.{capability[1]}" if capability else None,
            total_bytes=total,
            uuid=self._or_none(lambda: _text(library.nvmlDeviceGetUUID(handle))),
            temperature_c=self._or_none(lambda: library.nvmlDeviceGetTemperature(handle, library.NVML_TEMPERATURE_GPU)),
            power_w=power / 1000 if power is not None else None,
            utilization_percent=rates.gpu if rates else None,
            free_bytes=free,
            mig=bool(mig and mig[0] == library.NVML_DEVICE_MIG_ENABLE),
            number=index,
        )

    def _memory(self, handle: Any) -> tuple[int | None, int | None]:  # noqa: ANN401  (a pointer of NVML's)
        """Return the total and the free bytes as CUDA counts them; None if they are not reported."""
        library = self._library
        memory = self._or_none(lambda: library.nvmlDeviceGetMemoryInfo(handle, version=library.nvmlMemory_v2))
        reserved = memory.reserved if memory else 0
        # A driver without the second version has the first alone, which counts what it reserves as used.
        memory = memory or self._or_none(lambda: library.nvmlDeviceGetMemoryInfo(handle))
        # Some drivers answer 0 instead of NOT_SUPPORTED (gpud#1170).
        return (memory.total - reserved, memory.free) if memory and memory.total else (None, None)

    def _or_none(self, ask: Callable[[], T]) -> T | None:
        """Return the answer, or None where this driver does not report it."""
        try:
            return ask()
        # The second is what nvidia-ml-py raises for a function that this driver's library has not.
        except (self._library.NVMLError, self._library.NVMLLibraryMismatchError):
            return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
