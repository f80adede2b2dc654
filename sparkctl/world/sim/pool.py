"""The simulated memory: a GB10's pool, and who takes how much of it now. Bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.world.sim.boot import GIB, TOTAL_BYTES
from sparkctl.world.sim.folders import containers

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.world.sim.folders import Holds

# Used on an idle Spark with a desktop: 8.0 to 8.7 GiB (nvtop#449).
SYSTEM_BYTES: Final = 8 * GIB


def available_bytes(sim: Path) -> int:
    """Return what nobody takes; below 0 is more than the machine has."""
    taken = sum(holds.gpu + holds.host for holds in held(sim).values())
    return TOTAL_BYTES - SYSTEM_BYTES - taken


def held(sim: Path) -> dict[int, Holds]:
    """Return what every process that lives takes, by its pid."""
    found = ((folder.run(), folder) for folder in containers(sim) if folder.runs())
    return {run.pid: folder.holds() for run, folder in found if run is not None}
