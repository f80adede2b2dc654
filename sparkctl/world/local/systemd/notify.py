"""What starts and watches this process: systemd's notification protocol (sd_notify(3)), a datagram for each telling.

Without NOTIFY_SOCKET nobody listens, and nothing is said.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class SystemdSupervisor:
    """Tells the service manager of ``environ`` how this process is."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # A name that begins with @ is of the abstract namespace (unix(7)): its first byte is 0.
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self.watchdog_s = _watchdog_s(environ)

    def tell(self, *words: str) -> None:
        """Tell it: READY=1, STATUS=…, WATCHDOG=1, STOPPING=1. A manager that does not listen any more is no error."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
            # A manager that does not read must not hold up what it watches.
            door.setblocking(False)
            door.sendto("\n".join(words).encode(errors="replace"), self._address)


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """Return within how many seconds it wants to hear WATCHDOG=1, None: it does not, or wants it of another process."""
    wanted, process = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    mine = not process or process == str(os.getpid())
    return int(wanted) / 1e6 if mine and wanted.isdecimal() and int(wanted) > 0 else None
