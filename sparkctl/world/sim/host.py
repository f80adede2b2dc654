"""The simulated host: a DGX Spark's memory and GPU as an operator's tool sees them, with every model on its disk."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from sparkctl.world.host import Activity, Gpu, MemoryReading
from sparkctl.world.sim import addresses, pool
from sparkctl.world.sim.boot import TOTAL_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sparkctl.world.host import Link, Models

SWAP_BYTES: Final = 16777212 * 1024  # SwapTotal of most DGX Sparks


class SimHost:
    """A DGX Spark whose services are the simulated containers in ``sim``, a folder."""

    def __init__(self, sim: Path) -> None:
        self._sim = sim

    def memory(self) -> MemoryReading:
        """Return the memory now: what an idle Spark uses and what the simulated services take is not available."""
        available = max(0, pool.available_bytes(self._sim))
        return MemoryReading(TOTAL_BYTES, available, swap_total_bytes=SWAP_BYTES, swap_free_bytes=SWAP_BYTES)

    def gpus(self) -> tuple[Gpu, ...]:
        """Return the one GPU; as on a GB10, NVML reports no memory total (nvitop#208, gpud#1170)."""
        return (
            Gpu(
                name="NVIDIA GB10",
                driver="simulated",
                compute_capability="12.1",
                total_bytes=None,
                temperature_c=35,
                power_w=11.17,
                utilization_percent=0,
            ),
        )

    def gpu_bytes(self) -> Mapping[int, int]:
        """Return the GPU bytes by process id."""
        return {pid: holds.gpu for pid, holds in pool.held(self._sim).items()}

    def resident_bytes(self, pid: int) -> int | None:
        """Return the host bytes that a simulated service says it takes, or None when it is gone."""
        found = pool.held(self._sim).get(pid)
        return None if found is None else found.host

    def activity(self, pid: int) -> Activity | None:
        """Return nothing: a simulated service stands in for one that would load."""
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


def _folder(cache: Path, repo: str) -> Path:
    return cache / f"models--{repo.replace('/', '--')}"


def _there(path: Path) -> bool:
    """Return whether this machine has something at a path; not where it cannot be looked at."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
