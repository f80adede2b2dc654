"""The doors of a simulated Spark."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.world.local.clock import SystemClock
from sparkctl.world.local.disk import DiskFiles
from sparkctl.world.local.locks import FileLocks, shared_folder, whoami
from sparkctl.world.local.model_folders import DiskModels
from sparkctl.world.local.store import SqliteStore
from sparkctl.world.opening.web import HttpOnDemand
from sparkctl.world.ports import Ports
from sparkctl.world.sim.engine import SimEngine
from sparkctl.world.sim.host import SimHost, SimModels

if TYPE_CHECKING:
    from collections.abc import Callable


def _folder(state: Path) -> Path:
    """Return the simulation's folder: SPARKCTL_SIM_DIR, else ``sim`` in the operator's state folder."""
    return Path(os.environ.get("SPARKCTL_SIM_DIR") or state / "sim")


def host(state: Path) -> SimHost:
    """Return the simulated machine."""
    return SimHost(_folder(state))


def store(state: Path) -> SqliteStore:
    """Return what simulated starts took: a file of their own, so that they never speak for a real host."""
    return SqliteStore(_folder(state))


def ports(state: Path, tell: Callable[[str], None]) -> Ports:
    """Return the ports; there are no calls to a real engine to tell of."""
    del tell
    return Ports(
        engine=SimEngine(_folder(state), os.environ),
        host=host(state),
        http=HttpOnDemand(),
        clock=SystemClock(),
        locks=FileLocks(shared_folder(), whoami()),
        models=SimModels(DiskModels()),
        files=DiskFiles(),
    )
