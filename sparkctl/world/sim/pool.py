"""The simulated memory: a GB10's pool, and who takes how much of it now. Bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.world.sim.arguments import GIB, TOTAL_BYTES
from sparkctl.world.sim.folders import containers

if TYPE_CHECKING:
    from pathlib import Path

# Used on an idle Spark with a desktop: 8.0 to 8.7 GiB (nvtop#449).
SYSTEM_BYTES: Final = 8 * GIB


def available_bytes(sim: Path) -> int:
    """Return what nobody takes; below 0 is more than the machine has."""
    taken = sum(gpu + host for gpu, host in held(sim).values())
    return TOTAL_BYTES - SYSTEM_BYTES - taken


def held(sim: Path) -> dict[int, tuple[int, int]]:
    """Return the GPU and the host bytes of every process that lives, by its pid."""
    found = ((folder.run(), folder) for folder in containers(sim) if folder.runs())
    return {run.pid: folder.holds() for run, folder in found if run is not None}
