"""The doors of this machine and its Docker Engine."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING

from sparkctl.base.lazy import LazyModule
from sparkctl.world.local import processes
from sparkctl.world.local.clock import SystemClock
from sparkctl.world.local.disk import DiskFiles
from sparkctl.world.local.locks import FileLocks, shared_folder, whoami
from sparkctl.world.local.machine import LinuxHost
from sparkctl.world.local.models.folders import DiskModels
from sparkctl.world.local.products.folders import DiskProducts
from sparkctl.world.opening.web import HttpOnDemand
from sparkctl.world.ports import Ports

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sparkctl.world.docker import engine as engines
    from sparkctl.world.local import store as stores
    from sparkctl.world.local.store import SqliteStore
else:
    # Docker's SDK and SQLite: who asks for the host alone does without.
    engines = LazyModule("sparkctl.world.docker.engine")
    stores = LazyModule("sparkctl.world.local.store")


def host(state: Path) -> LinuxHost:
    """Return the machine; ``state`` is the simulated engine's concern."""
    del state
    return LinuxHost()


def store(state: Path) -> SqliteStore:
    """Return what starts on this machine took."""
    return stores.SqliteStore(state)


def ports(state: Path, tell: Callable[[str], None]) -> Ports:
    """Return the ports; ``tell`` is told of each call to the engine.

    Raises:
        EngineError: no engine answers.
    """
    engine = engines.connect(tell=tell, process=processes.me())
    atexit.register(engine.close)
    return Ports(
        engine=engine,
        host=host(state),
        http=HttpOnDemand(),
        clock=SystemClock(),
        locks=FileLocks(shared_folder(), whoami(), door=engine.socket),
        models=DiskModels(),
        files=DiskFiles(),
        bench=engine,
        builder=engine,
        products=DiskProducts(),
        carrier=engine,
    )
