"""The doors of a simulated Spark."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sparkctl.base.errors import EngineError
from sparkctl.base.lazy import LazyModule
from sparkctl.world.sim.host import SimHost, SimModels

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.world import ports as doors
    from sparkctl.world.engine import Engine
    from sparkctl.world.local import clock, disk, locks
    from sparkctl.world.local import store as stores
    from sparkctl.world.local.models import folders
    from sparkctl.world.local.store import SqliteStore
    from sparkctl.world.opening import web
    from sparkctl.world.ports import Ports
    from sparkctl.world.sim import engine as engines
else:
    # Who asks for the host alone does without all of these.
    doors = LazyModule("sparkctl.world.ports")
    clock = LazyModule("sparkctl.world.local.clock")
    disk = LazyModule("sparkctl.world.local.disk")
    locks = LazyModule("sparkctl.world.local.locks")
    stores = LazyModule("sparkctl.world.local.store")
    folders = LazyModule("sparkctl.world.local.models.folders")
    web = LazyModule("sparkctl.world.opening.web")
    engines = LazyModule("sparkctl.world.sim.engine")


def _folder(state: Path) -> Path:
    """Return the simulation's folder: SPARKCTL_SIM_DIR, else ``sim`` in the operator's state folder."""
    return Path(os.environ.get("SPARKCTL_SIM_DIR") or state / "sim")


class _Told:
    """An engine of whose calls somebody is told, and whose folder may be of another, read-only, or full."""

    def __init__(self, engine: Engine, folder: Path, tell: Callable[[str], None]) -> None:
        self._engine = engine
        self._folder = folder
        self._tell = tell

    @contextmanager
    def _asked(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            message = f"cannot {doing} in {self._folder}: {error.strerror or error}"
            hint = "mend its owner or its mode, free some space, or set SPARKCTL_SIM_DIR to another folder"
            raise EngineError(message, hint=hint) from None

    def _each(self, doing: str, found: Iterator[object]) -> Iterator[object]:
        with self._asked(doing):
            yield from found

    def __getattr__(self, name: str) -> Callable[..., object]:
        call: Callable[..., object] = getattr(self._engine, name)

        def told(*given: object, **more: object) -> object:
            of = [str(getattr(one, "name", one)) for one in given if isinstance(one, str) or hasattr(one, "name")]
            doing = " ".join([name.replace("_", " "), *of])
            self._tell(f"simulated engine: {doing}")
            with self._asked(doing):
                found = call(*given, **more)
            return self._each(doing, found) if isinstance(found, Iterator) else found

        return told


def host(state: Path) -> SimHost:
    """Return the simulated machine."""
    return SimHost(_folder(state), os.environ)


def store(state: Path) -> SqliteStore:
    """Return what simulated starts took: a file of their own, so that they never speak for a real host."""
    return stores.SqliteStore(_folder(state))


def ports(state: Path, tell: Callable[[str], None]) -> Ports:
    """Return the ports; ``tell`` is told of each call to the engine."""
    return doors.Ports(
        engine=cast("Engine", _Told(engines.SimEngine(_folder(state), os.environ), _folder(state), tell)),
        host=host(state),
        http=web.HttpOnDemand(),
        clock=clock.SystemClock(),
        locks=locks.FileLocks(locks.shared_folder(), locks.whoami(), door=_folder(state)),
        models=SimModels(folders.DiskModels()),
        files=disk.DiskFiles(),
    )
