"""Where a simulated server listens on this machine: always on 127.0.0.1, whatever address it is published on."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import EngineError
from sparkctl.world.sim.arguments import parse_arguments
from sparkctl.world.sim.folders import containers

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.world.sim.folders import Record

LOOPBACK: Final = "127.0.0.1"
VLLM_PORT: Final = 8000


def address(record: Record, sim: Path) -> str:
    """Return ``ADDRESS:PORT`` for a container that is to start.

    Raises:
        EngineError: its published port is taken.
    """
    own = int(parse_arguments(record.command).get("port", VLLM_PORT))
    if record.network == "host":
        # Docker checks nothing here: the server itself finds its port taken.
        return f"{LOOPBACK}:{own}"
    published = dict(record.ports)
    port = published.get(own, 0)
    if port and taken(sim, port):
        message = f"cannot start the container {record.name}: port {LOOPBACK}:{port} is taken"
        raise EngineError(message, hint=f"serve on another port; sudo ss -lntup 'sport = :{port}' shows who has it")
    return f"{LOOPBACK}:{port or _free_port()}"


def taken(sim: Path, port: int) -> bool:
    """Return whether a simulated container has the port, also while it loads, or something else listens on it."""
    runs = (folder.run() for folder in containers(sim) if folder.runs())
    if any(run is not None and run.port == port for run in runs):
        return True
    with socket.socket() as probe:
        # A port that a finished server left in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
