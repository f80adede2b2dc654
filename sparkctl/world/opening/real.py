"""The doors of this machine and its Docker Engine."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING

from sparkctl.base.lazy import LazyModule
from sparkctl.world.local.machine import LinuxHost

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sparkctl.world import ports as doors
    from sparkctl.world.docker import engine as engines
    from sparkctl.world.local import clock, disk, locks, processes
    from sparkctl.world.local import store as stores
    from sparkctl.world.local.models import folders
    from sparkctl.world.local.products import folders as products
    from sparkctl.world.local.store import SqliteStore
    from sparkctl.world.opening import web
    from sparkctl.world.ports import Ports
else:
    # Docker's SDK, SQLite and more: who asks for the host alone does without.
    doors = LazyModule("sparkctl.world.ports")
    engines = LazyModule("sparkctl.world.docker.engine")
    clock = LazyModule("sparkctl.world.local.clock")
    disk = LazyModule("sparkctl.world.local.disk")
    locks = LazyModule("sparkctl.world.local.locks")
    processes = LazyModule("sparkctl.world.local.processes")
    stores = LazyModule("sparkctl.world.local.store")
    folders = LazyModule("sparkctl.world.local.models.folders")
    products = LazyModule("sparkctl.world.local.products.folders")
    web = LazyModule("sparkctl.world.opening.web")


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
    return doors.Ports(
        engine=engine,
        host=host(state),
        http=web.HttpOnDemand(),
        clock=clock.SystemClock(),
        locks=locks.FileLocks(locks.shared_folder(), locks.whoami(), door=engine.socket),
        models=folders.DiskModels(),
        files=disk.DiskFiles(),
        bench=engine,
        builder=engine,
        products=products.DiskProducts(),
        carrier=engine,
    )
