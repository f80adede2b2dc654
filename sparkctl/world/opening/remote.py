"""The doors of another host: its engine by a forwarded socket, the rest by what is sent there. One ssh for all."""

from __future__ import annotations

import atexit
import json
import os
import platform
import socket
import time
from functools import cached_property, partial
from importlib import resources
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import EngineError
from sparkctl.base.lazy import LazyModule
from sparkctl.world.local.bare.machine import BareHost
from sparkctl.world.local.clock import SystemClock
from sparkctl.world.local.copying.host import HostCopies
from sparkctl.world.local.copying.shell import CopyShell
from sparkctl.world.local.disk import DiskFiles
from sparkctl.world.local.locks import whoami
from sparkctl.world.opening import Doors
from sparkctl.world.ports import Ports
from sparkctl.world.remote.asks import Asks
from sparkctl.world.remote.ports import RemoteCopyDisk, RemoteFiles, RemoteHost, RemoteLocks, RemoteModels
from sparkctl.world.remote.ssh import CONNECT_S, Ssh

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sparkctl.world.docker import engine as engines
    from sparkctl.world.docker import inspected
    from sparkctl.world.host import MachineFacts
    from sparkctl.world.local import http_client, stream_client
    from sparkctl.world.local import store as stores
    from sparkctl.world.local.models import said
    from sparkctl.world.ports import Store
else:
    said = LazyModule("sparkctl.world.local.models.said")
    engines = LazyModule("sparkctl.world.docker.engine")
    inspected = LazyModule("sparkctl.world.docker.inspected")
    http_client = LazyModule("sparkctl.world.local.http_client")
    stores = LazyModule("sparkctl.world.local.store")
    stream_client = LazyModule("sparkctl.world.local.stream_client")

SENT: Final = (
    "base.bounded",
    "base.errors",
    "base.lazy",
    "base.private_folder",
    "base.regular_file",
    "base.shard_names",
    "base.units",
    "world.host",
    "world.local.bare.kernel",
    "world.local.bare.machine",
    "world.local.copying.disk",
    "world.local.disk",
    "world.local.folders",
    "world.local.lock_file",
    "world.local.locks",
    "world.local.models.folders",
    "world.local.models.recorded",
    "world.local.models.said",
    "world.local.models.shards",
    "world.local.processes",
    "world.local.unfinished",
    "world.opening.far",
    "world.remote.far.serving",
)
"""What runs on the other host: ``world.opening.far``, and what it imports."""


def sent() -> bytes:
    """Return what the interpreter on the other host is given: the code that begins, and the sources of the rest."""
    begin = _source("world.remote.far.start").encode()
    sources = json.dumps({f"sparkctl.{name}": _source(name) for name in SENT}).encode()
    return b"%d\n%s%d\n%s" % (len(begin), begin, len(sources), sources)


def laid(folder: Path, files: Sequence[tuple[str, int, bytes]]) -> None:
    """Write what a model's folder of another host says into a folder of this machine."""
    said.lay(folder.resolve(), (said.SaidFile(*one) for one in files))


def _source(name: str) -> str:
    return resources.files("sparkctl").joinpath(*f"{name.replace('.', '/')}.py".split("/")).read_text()


class ThereClock(SystemClock):
    """The clock of another host, whose engine counts by it: ``skew_s`` is how far it is ahead of this machine's."""

    def __init__(self, skew_s: float) -> None:
        self._skew_s = skew_s

    def epoch(self) -> float:
        """Return seconds since the epoch, as that host's engine counts them."""
        return super().epoch() + self._skew_s


def kept(folder: Path) -> Store:
    """Return what is kept on this machine of another host, which need not answer; ``folder`` is that host's here."""
    return stores.SqliteStore(folder)


def facts_here() -> MachineFacts:
    """Return what this machine says of itself."""
    return BareHost().facts()


def reaches_from_here(address: str) -> bool:
    """Return whether another host answers this machine at an address."""
    return BareHost().reaches(address)


class RemoteSpark:
    """Another host that is connected; its facts were asked. ``state`` is where this operator keeps what is about it.

    ``tell`` is told of each call to its engine. ``program`` is how ssh is called.

    Raises:
        EngineError: it is not reached; the message says why, the hint what to do.
    """

    def __init__(
        self,
        name: str,
        target: str,
        *,
        tell: Callable[[str], None] = lambda _: None,
        program: Sequence[str] = ("ssh",),
        within_s: float = CONNECT_S,
    ) -> None:
        self.name = name
        self._tell = tell
        self._ssh = Ssh(name, target, sent(), program=program, within_s=within_s)
        atexit.register(self.close)
        self._asks = Asks(self._ssh)
        self.host = RemoteHost(self._asks)
        self.models = RemoteModels(self._asks, self._ssh.folder / "models", laid)
        self.files = RemoteFiles(self._asks)
        pushing = partial(self._ssh.command, forwarding=True)
        self.copies = HostCopies(RemoteCopyDisk(self._asks), CopyShell(name, self._ssh.command, "python3", pushing))

    @cached_property
    def facts(self) -> MachineFacts:
        """What the host said of itself."""
        return self._facts[0]

    @property
    def skew_s(self) -> float:
        """By how many seconds its clock is ahead of this machine's, to within half of the way there and back."""
        return self._facts[1]

    @cached_property
    def _facts(self) -> tuple[MachineFacts, float]:
        before = time.time()
        found = self.host.facts()
        return found, found.clock_s - (before + time.time()) / 2

    def reaches(self, address: str) -> bool:
        """Return whether another host answers this one at an address."""
        return self.host.reaches(address)

    @cached_property
    def engine(self) -> engines.DockerEngine:
        """Its engine.

        Raises:
            EngineError: there is none, or its user may not use it.
        """
        if self.facts.engine_problem is not None:
            hint = f"on that host: sudo usermod -aG docker {self.facts.user}, and connect again"
            raise EngineError(f"the Docker Engine of {self.name}: {self.facts.engine_problem}", hint=hint)
        here = inspected.HostFacts(self.facts.name, self.facts.kernel, self.facts.total_bytes)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
        environment["DOCKER_HOST"] = f"unix://{self._ssh.engine}"
        found = engines.connect(
            tell=self._tell, environment=environment, process=self.locks.me, host=here, called=self.name
        )
        atexit.register(found.close)
        return found

    @property
    def process(self) -> int:
        """The process of ssh."""
        return self._ssh.process

    @cached_property
    def locks(self) -> RemoteLocks:
        """Its locks, with this operator as the holder."""
        return RemoteLocks(self._asks, f"{whoami()} on {platform.node()}")

    def line(self, address: str, port: int, timeout_s: float) -> socket.socket:
        """Return a line to a port of the host, for an address that is its own."""
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            found.settimeout(timeout_s)
            found.connect(str(self._ssh.forwarded(address, port)))
        except EngineError as error:
            found.close()
            raise OSError(error.message) from None
        except BaseException:
            found.close()
            raise
        return found

    def forwarded(self, address: str, port: int) -> Path:
        """Return a socket on this machine that leads to a port of the host, for an address that is its own.

        Raises:
            EngineError: ssh does not forward it.
        """
        return self._ssh.forwarded(address, port)

    def doors(self, state: Path) -> Doors:
        """Return its doors; ``state`` is the folder of this operator's machine for what is kept of that host."""
        return Doors(
            host=lambda: self.host,
            store=lambda: stores.SqliteStore(state),
            ports=self._ports,
            files=lambda: self.files,
            models=lambda: self.models,
            streams=lambda: stream_client.AsyncStreams(forwarded=self.forwarded),
            clock=lambda: ThereClock(self.skew_s),
            copies=lambda: self.copies,
            own_files=DiskFiles,
        )

    def _ports(self) -> Ports:
        engine = self.engine
        return Ports(
            engine=engine,
            host=self.host,
            http=http_client.SocketHttp(line=self.line),
            clock=ThereClock(self.skew_s),
            locks=self.locks,
            models=self.models,
            files=self.files,
            bench=engine,
            builder=engine,
            carrier=engine,
        )

    def close(self) -> None:
        """End the connection."""
        self._asks.end()
        self._ssh.close()
