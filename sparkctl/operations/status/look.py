"""One look at a service over the ports: its container, its health, its counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.operations import deployed
from sparkctl.operations.status.liveness import Look
from sparkctl.vllm import phases
from sparkctl.vllm.answers import status_of
from sparkctl.vllm.metrics import Metrics
from sparkctl.vllm.server import Server
from sparkctl.world import labels

if TYPE_CHECKING:
    from sparkctl.world.engine import Container
    from sparkctl.world.ports import Ports

_LOG_LINES: Final = 2000


def look(ports: Ports, container_name: str, key: str | None) -> Look:
    """Return what a service's container shows now; ``key`` is the operator's for its server.

    Raises:
        EngineError: the engine does not answer.
    """
    return look_at(ports, deployed.find(ports.engine, container_name), key)


def look_at(ports: Ports, container: Container | None, key: str | None) -> Look:
    """Return what a service's container shows now, whatever its name is; None: there is none.

    Raises:
        EngineError: the engine does not answer.
    """
    if container is None or container.state != "running":
        return Look(ports.clock.monotonic(), container)
    record = labels.read(container.labels)
    if record.url is None:
        return Look(ports.clock.monotonic(), container, asked=False)
    server = Server(ports.http, record.url, deployed.key_of(container, key), record.certificate)
    health, counted = status_of(server.health()), server.metrics()
    found = counted if isinstance(counted, Metrics) else None
    served = health is None and found is None and _served(ports, container.id)
    return Look(ports.clock.monotonic(), container, health, served, found)


def _served(ports: Ports, container: str) -> bool:
    """Return whether the log says that the server came up; a log that is longer has said so long ago."""
    lines = ports.engine.logs(container, tail=_LOG_LINES)
    said = phases.serves(lines)
    return len(lines) == _LOG_LINES if said is None else said
