"""The one place that opens adapters: the doors of this machine and its engine, or of a simulated Spark.

What is heavy (the SDK of Docker, the hub, the network) is imported when it is opened: a command that only reads files
does not pay for it.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.lazy import LazyModule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import ModuleType

    from sparkctl.world.door import server
    from sparkctl.world.door_ports import Bounds, Door, DoorHandler, DoorOpener, DoorPlace, Pages
    from sparkctl.world.host import Copies, Host, Models
    from sparkctl.world.local import clock, disk, network, stream_client
    from sparkctl.world.local.copying import disk as copying_disk
    from sparkctl.world.local.copying import host as copying_host
    from sparkctl.world.local.copying import shell as copying_shell
    from sparkctl.world.local.models import folders, hub
    from sparkctl.world.local.systemd import manager, notify
    from sparkctl.world.opening import real, simulated
    from sparkctl.world.ports import Clock, Fetcher, Files, Hub, Ports, ServiceManager, Store, Supervisor
    from sparkctl.world.web import Streams
else:
    server = LazyModule("sparkctl.world.door.server")
    clock = LazyModule("sparkctl.world.local.clock")
    manager = LazyModule("sparkctl.world.local.systemd.manager")
    notify = LazyModule("sparkctl.world.local.systemd.notify")
    copying_disk = LazyModule("sparkctl.world.local.copying.disk")
    copying_host = LazyModule("sparkctl.world.local.copying.host")
    copying_shell = LazyModule("sparkctl.world.local.copying.shell")
    disk = LazyModule("sparkctl.world.local.disk")
    hub = LazyModule("sparkctl.world.local.models.hub")
    folders = LazyModule("sparkctl.world.local.models.folders")
    network = LazyModule("sparkctl.world.local.network")
    stream_client = LazyModule("sparkctl.world.local.stream_client")
    real = LazyModule("sparkctl.world.opening.real")
    simulated = LazyModule("sparkctl.world.opening.simulated")

ENGINES: Final[Mapping[str, ModuleType]] = {"docker": real, "sim": simulated}
"""By each of ``ENGINE_NAMES``, the module whose functions ``host``, ``store`` and ``ports`` make its doors."""


def _files() -> Files:
    return disk.DiskFiles()


def _models() -> Models:
    return folders.DiskModels()


def _hub(endpoint: str | None, *, bars: bool = True) -> Hub:
    return hub.HuggingFaceHub(endpoint, bars=bars)


def _fetcher(*, bars: bool = True) -> Fetcher:
    return network.NetworkFetcher(bars=bars)


def _streams() -> Streams:
    return stream_client.AsyncStreams()


def _copies() -> Copies:
    return copying_host.HostCopies(copying_disk.CopyDisk(), copying_shell.CopyShell())


def _clock() -> Clock:
    return clock.SystemClock()


def _manager() -> ServiceManager:
    return manager.SystemdManager()


def _supervisor() -> Supervisor:
    return notify.SystemdSupervisor(os.environ)


async def _door(
    place: DoorPlace, handler: DoorHandler, pages: Pages | None = None, bounds: Bounds | None = None
) -> Door:
    return await server.open_door(place, handler, pages, bounds)


class Doors(NamedTuple):
    """How the ports are made, later: an engine that is absent must not stop ``render`` or ``doctor``.

    Those with a default are this machine's, with or without an engine: its files, the models on its disk, the network,
    its clock, what watches this process, and the door that clients come to. ``hub`` is given the address of another hub
    than the public one, or None.
    """

    host: Callable[[], Host]
    store: Callable[[], Store]
    ports: Callable[[], Ports]
    files: Callable[[], Files] = _files
    models: Callable[[], Models] = _models
    hub: Callable[[str | None], Hub] = _hub
    fetcher: Callable[[], Fetcher] = _fetcher
    streams: Callable[[], Streams] = _streams
    clock: Callable[[], Clock] = _clock
    supervisor: Callable[[], Supervisor] = _supervisor
    manager: Callable[[], ServiceManager] = _manager
    door: DoorOpener = _door
    copies: Callable[[], Copies] = _copies
    own_files: Callable[[], Files] | None = None
    """The files of this machine where ``files`` are another's; None: they are the same."""


def doors(engine: str, state: Path, tell: Callable[[str], None], *, bars: bool) -> Doors:
    """Return the doors of an engine of ``ENGINES``; ``tell`` is told of each call to it.

    ``state`` is the operator's state folder. ``bars``: libraries that draw their progress may do so, on stderr.
    """
    of = ENGINES[engine]
    return Doors(
        host=lambda: of.host(state),
        store=lambda: of.store(state),
        ports=lambda: of.ports(state, tell),
        hub=partial(_hub, bars=bars),
        fetcher=partial(_fetcher, bars=bars),
    )
