"""Where a simulated server is reached on this machine, and what docker would refuse of that."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import EngineError
from sparkctl.world.sim.flags import parse_arguments
from sparkctl.world.sim.folders import containers

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.world.sim.folders import Record

LOOPBACK: Final = "127.0.0.1"
VLLM_PORT: Final = 8000
ALL: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared


def listens(record: Record, sim: Path) -> tuple[tuple[str, int], ...]:
    """Return the addresses and ports that a container has on this machine once it runs, its server's own first.

    A port published on all addresses is listed as published, but served on the loopback only: ``served``.

    Raises:
        EngineError: one of them is taken, or is no address of this machine.
    """
    flags = parse_arguments(record.command)
    own = int(flags["port"]) if flags.get("port", "").isdigit() else VLLM_PORT
    if record.network == "host":
        # Docker checks nothing here: the server itself finds its port taken.
        return ((flags.get("host", ""), own),)
    for _, port, address in record.ports:
        _check(record, sim, address, port)
    ordered = sorted(record.ports, key=lambda published: published[0] != own)
    found = tuple((address, port or _free_port(address)) for inner, port, address in ordered)
    reached = ordered and ordered[0][0] == own
    return found if reached else ((LOOPBACK, _free_port(LOOPBACK)), *found)


def served(address: str) -> str:
    """Return where a simulated server listens for an address: no farther than the loopback for all addresses."""
    return {"::": "::1"}.get(address, LOOPBACK) if address in ALL else address


def taken(sim: Path, address: str, port: int) -> bool:
    """Return whether a simulated container has the port, also while it loads, or something else listens on it."""
    runs = [run for folder in containers(sim) if folder.runs() and (run := folder.run()) is not None]
    if any(_same(there, address) and number == port for run in runs for there, number in run.listens):
        return True
    return _bound(address, port) == errno.EADDRINUSE


def there(address: str) -> bool:
    """Return whether an address is one of this machine's, or stands for all of them."""
    return _bound(address, 0) is None


def _check(record: Record, sim: Path, address: str, port: int) -> None:
    shown = f"[{address}]" if ":" in address else address or "0.0.0.0"  # noqa: S104 - shown
    if port and taken(sim, address, port):
        message = f"cannot start the container {record.name}: port {shown}:{port} is taken"
        raise EngineError(message, hint=f"serve on another port; sudo ss -lntup 'sport = :{port}' shows who has it")
    if not there(address):
        message = f"cannot start the container {record.name}: {shown} is no address of the engine's host"
        hint = f"ip address shows those that it has; {LOOPBACK} is reached from that host alone, 0.0.0.0 stands for all"
        raise EngineError(message, hint=hint)


def _same(one: str, other: str) -> bool:
    """Return whether a port of one address is the other's too: "" is all, of IPv4 and of IPv6."""
    if one == other or "" in {one, other}:
        return True
    return bool(ALL & {one, other}) and (":" in one) == (":" in other)


def _bound(address: str, port: int) -> int | None:
    """Return why nothing could listen there, as the error's number, or None: it could."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            # A port that a finished server left in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        return error.errno
    return None


def _free_port(address: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((served(address), 0))
        return int(probe.getsockname()[1])
