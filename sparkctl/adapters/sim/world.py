"""The doors of a simulated Spark."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.adapters.clock import SystemClock
from sparkctl.adapters.files import DiskFiles
from sparkctl.adapters.host import process_owner
from sparkctl.adapters.http import HttpxHttp
from sparkctl.adapters.locks import FileLocks, shared_folder
from sparkctl.adapters.sim.engine import SimEngine
from sparkctl.adapters.sim.host import SimHost, SimModels
from sparkctl.ports import Ports

if TYPE_CHECKING:
    from sparkctl.service import Operator


def ports(operator: Operator, out: object) -> Ports:
    """Return the ports; the simulation's folder is SPARKCTL_SIM_DIR, else ``sim`` in the operator's state folder."""
    del out
    sim = Path(os.environ.get("SPARKCTL_SIM_DIR") or operator.state / "sim")
    return Ports(
        engine=SimEngine(sim, os.environ),
        host=SimHost(sim),
        http=HttpxHttp(),
        clock=SystemClock(),
        locks=FileLocks(shared_folder(), f"{process_owner()}, process {os.getpid()}"),
        models=SimModels(),
        files=DiskFiles(),
    )
