"""A bench for the engine's contract: an engine, an image that it has, and what a caller sees of its containers."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sparkctl.world.local.http_client import SocketHttp
from sparkctl.world.local.machine import LinuxHost
from sparkctl.world.spec import ContainerSpec, Mount, Port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sparkctl.world.engine import Container, Engine
    from sparkctl.world.host import Host
    from sparkctl.world.web import Http

READY = "Application startup complete."
FRACTION = ("--gpu-memory-utilization", "0.2")
PACE = ("SPARKCTL_SIM_FAULTS", "load_s=0.1")
DYING = ("SPARKCTL_SIM_FAULTS", "load_s=0.1,die_in=loading,exit_code=3")


@dataclass
class Bench:
    """An engine that has ``image``, the host that it is on, and a beginning of names that is this test's own."""

    engine: Engine
    image: str
    prefix: str
    host: Host = field(default_factory=LinuxHost)
    http: Http = field(default_factory=SocketHttp)

    def spec(self, name: str = "one", **changes: Any) -> ContainerSpec:  # noqa: ANN401 (any field)
        """Return a container that serves a model for which the simulated Spark has room twice."""
        command = ("/models/gemma4-e4b", "--served-model-name", "e4b", "--kv-cache-memory-bytes", "1073741824")
        given = {"image": self.image, "name": f"{self.prefix}-{name}", "command": (*command, *FRACTION), "env": (PACE,)}
        return ContainerSpec(**(given | changes))

    def started(self, name: str = "one", **changes: Any) -> Container:  # noqa: ANN401 (any field)
        """Create a container, start it and return it as the engine then sees it."""
        identity = self.engine.create(self.spec(name, **changes))
        self.engine.start(identity)
        return self.seen(identity)

    def seen(self, container: str) -> Container:
        """Return a container that has to be there."""
        found = self.engine.container(container)
        assert found is not None
        return found

    def ended(self, container: str) -> Container:
        """Wait for a container's end and return it."""
        until(lambda: self.seen(container).state == "exited")
        return self.seen(container)

    def ready(self, container: str, starts: int = 1) -> None:
        """Wait until the server of a container has been ready that many times."""
        until(lambda: times_ready(self.engine.logs(container)) == starts)

    def serves(self, address: str, port: int) -> bool:
        """Return whether a server is healthy at an address of this host."""
        return self.http.get(f"http://{address}:{port}/health").status == 200

    def lives(self, pid: int) -> bool:
        """Return whether the host has a process of this id."""
        return self.host.resident_bytes(pid) is not None

    @contextmanager
    def occupied(self, port: int) -> Iterator[None]:
        """Have a process of the host, which is no container, listen on a port of 127.0.0.1."""
        with socket.create_server(("127.0.0.1", port)):
            yield


def until(seen: Callable[[], object], seconds: float = 30) -> None:
    """Wait for something that happens in another process."""
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end, f"it did not happen within {seconds:g} s"
        time.sleep(0.02)


def times_ready(lines: list[str]) -> int:
    """Return how often a log says that its server is ready."""
    return sum(READY in line for line in lines)


def published(port: int, address: str = "127.0.0.1") -> tuple[Port]:
    """Return the server's port, published on a port of the host."""
    return (Port(8000, port, address),)


def laid_over(source: Path, target: str) -> Mount:
    """Return a read-only mount of a path of the host."""
    return Mount(target, str(source), read_only=True)
