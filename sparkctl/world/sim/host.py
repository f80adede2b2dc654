"""The simulated host: its memory and its GPUs as an operator's tool sees them, with every model on its disk."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from sparkctl.base.lazy import LazyModule
from sparkctl.world.host import Activity, Gpu, GpuProcess, MemoryReading, ModelRecord
from sparkctl.world.sim import orders, pool

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from sparkctl.world.host import Link, Models, ProcessIdentity
    from sparkctl.world.sim import addresses
    from sparkctl.world.sim.pool import SimGpu, SimMachine
else:
    addresses = LazyModule("sparkctl.world.sim.addresses")

SWAP_BYTES: Final = 16777212 * 1024  # SwapTotal of most DGX Sparks
_CAPABILITIES: Final = {"NVIDIA GB10": "12.1", "NVIDIA H200": "9.0", "NVIDIA GeForce RTX 5090": "12.0"}
_STRANGER: Final = 4_194_304
"""Process numbers that do not exist: Linux gives none above this (PID_MAX_LIMIT)."""


class SimHost:
    """The machine whose services are the simulated containers in the folder ``sim``: a DGX Spark by default.

    ``environ`` is the operator's environment, which may order another machine.
    """

    def __init__(self, sim: Path, environ: Mapping[str, str] | None = None) -> None:
        self._sim = sim
        self._environ = environ or {}

    def _machine(self) -> SimMachine:
        return pool.of_order(orders.machine(self._sim, self._environ))

    def memory(self) -> MemoryReading:
        """Return the memory now: what an idle Spark uses and what the simulated services take is not available."""
        there = self._machine()
        available = max(0, pool.available_bytes(self._sim, there))
        return MemoryReading(there.memory_bytes, available, swap_total_bytes=SWAP_BYTES, swap_free_bytes=SWAP_BYTES)

    def gpus(self) -> tuple[Gpu, ...]:
        """Return the GPUs; as on a GB10, NVML reports no memory of one that has none (nvitop#208, gpud#1170)."""
        there = self._machine()
        return tuple(self._gpu(there, gpu) for gpu in there.gpus)

    def _gpu(self, there: SimMachine, gpu: SimGpu) -> Gpu:
        shown = gpu.total_bytes is not None and not gpu.hidden
        return Gpu(
            name=gpu.name,
            driver="simulated",
            compute_capability=_CAPABILITIES.get(gpu.name),
            total_bytes=gpu.total_bytes if shown else None,
            uuid=gpu.uuid,
            temperature_c=35,
            power_w=11.17,
            utilization_percent=0,
            free_bytes=max(0, pool.free_bytes(self._sim, there, gpu)) if shown else None,
            mig=gpu.mig,
            number=gpu.index,
        )

    def gpu_bytes(self) -> Mapping[int, int]:
        """Return the GPU bytes by process id."""
        found: dict[int, int] = {}
        for one in self.gpu_processes():
            found[one.pid] = found.get(one.pid, 0) + (one.bytes or 0)
        return found

    def gpu_processes(self) -> Sequence[GpuProcess]:
        """Return the processes that hold memory of a GPU: of the simulated services, and the strangers."""
        there = self._machine()
        ours = [GpuProcess(index, pid, count, "vllm") for index, pid, count in pool.on_gpus(self._sim, there)]
        others = [
            GpuProcess(one.gpu, _STRANGER + place, None if one.hidden else one.holds, one.name, one.user)
            for place, one in enumerate(there.strangers)
        ]
        return [*ours, *others]

    def resident_bytes(self, pid: int) -> int | None:
        """Return the host bytes that a simulated service says it takes, or None when it is gone."""
        found = pool.held(self._sim).get(pid)
        return None if found is None else found.host

    def others_bytes(self, ours: Collection[int]) -> int | None:
        """Return what the strangers on the GPUs hold."""
        return sum(one.bytes or 0 for one in self.gpu_processes() if one.pid not in ours)

    def identity(self, pid: int) -> ProcessIdentity | None:
        """Return None: a simulated service's memory is not this machine's, and nobody may end it for that."""
        del pid
        return None

    def activity(self, pid: int) -> Activity | None:
        """Return None: a simulated service only stands in for one that would load."""
        del pid
        return None

    def port_taken(self, address: str, port: int) -> bool:
        """Return whether something has the port already."""
        return addresses.taken(self._sim, address, port)

    def has_address(self, address: str) -> bool:
        """Return whether an IP address is one of this machine's, or stands for all of them."""
        return addresses.there(address)

    def program_runs(self, name: str) -> bool:
        """Return whether a process of this name runs: the simulated host has none but its services."""
        del name
        return False

    def drop_caches(self) -> None:
        """Do nothing: the simulated Spark caches no pages."""

    def disk_free_bytes(self, path: Path) -> int | None:
        """Return the free bytes of the file system that would hold ``path``, on this machine."""
        for folder in (path, *path.parents):
            if _there(folder):
                return shutil.disk_usage(folder).free
        return None


class SimModels:
    """The models of the simulated host: all of them. Those that lie on this machine's ``disk`` too are as they lie."""

    def __init__(self, disk: Models) -> None:
        self._disk = disk

    def folder_problem(self, path: Path) -> str | None:
        """Return None: the model is there; unless this machine has a part of it."""
        return self._disk.folder_problem(path) if _there(path) else None

    def cached(self, cache: Path, repo: str, revision: str | None) -> Path | None:
        """Return where a Hugging Face cache has it, or would have it."""
        if _there(_folder(cache, repo)):
            return self._disk.cached(cache, repo, revision)
        return _folder(cache, repo) / "snapshots" / (revision or "main")

    def cache_problem(self, cache: Path, repo: str, revision: str | None) -> str | None:
        """Return None: the model is there; unless this machine has a part of it."""
        return self._disk.cache_problem(cache, repo, revision) if _there(_folder(cache, repo)) else None

    def file_problem(self, path: Path) -> str | None:
        """Return why a path of this machine leads to no file or folder, or None."""
        return self._disk.file_problem(path)

    def links(self, root: Path, below: Path) -> Sequence[Link]:
        """Return the links of this machine's disk that lead out of ``root``."""
        return self._disk.links(root, below)

    def recorded(self, folder: Path) -> ModelRecord:
        """Return what lies in a folder of this machine's; of a model that is simulated nothing."""
        return self._disk.recorded(folder) if _there(folder) else ModelRecord()

    def readable(self, folder: Path) -> Path | None:
        """Return a folder of this machine's; of a model that is simulated there is none."""
        return self._disk.readable(folder)

    def summed(self, file: Path, kind: str, came: Callable[[int], None]) -> str:
        """Return the sum of a file of this machine's disk."""
        return self._disk.summed(file, kind, came)


def _folder(cache: Path, repo: str) -> Path:
    return cache / f"models--{repo.replace('/', '--')}"


def _there(path: Path) -> bool:
    """Return whether this machine has something at a path; not where it cannot be looked at."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
