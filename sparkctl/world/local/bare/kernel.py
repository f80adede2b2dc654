"""Facts that a machine's kernel gives without any library: ports, addresses, disks. It is sent to other hosts, too.

Both ways to read a machine have it: this host's, with psutil and NVML's library, and that which is sent to another one.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
from contextlib import suppress
from pathlib import Path

from sparkctl.base.errors import EngineError
from sparkctl.world.host import ProcessIdentity
from sparkctl.world.local import processes


class KernelHost:
    """The part of the Host port that needs no library; ``root`` has proc."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def identity(self, pid: int) -> ProcessIdentity | None:
        """Return what tells a process from a later one of its number, or None when it is gone."""
        began = processes.began(pid)
        return None if began is None else ProcessIdentity(int(began), processes.cgroup(pid))

    def port_taken(self, address: str, port: int) -> bool:
        """Return whether something listens on the port already."""
        return _refused(address, port) == errno.EADDRINUSE

    def has_address(self, address: str) -> bool:
        """Return whether an IP address is one of this host's, or stands for all of them."""
        return _refused(address, 0) is None

    def drop_caches(self) -> None:
        """Write what is dirty to the disk, and ask the kernel to give back the page cache.

        Raises:
            EngineError: only root may; the hint is the command.
        """
        os.sync()
        place = self._root / "proc/sys/vm/drop_caches"
        try:
            place.write_text("1\n")
        except OSError as error:
            message = f"the page cache cannot be dropped: {error.strerror}"
            raise EngineError(message, hint=f"sudo sh -c 'sync; echo 1 > {place}'") from None

    def disk_free_bytes(self, path: Path) -> int | None:
        """Return the free bytes of the file system that holds (or would hold) ``path``."""
        for folder in (path, *path.parents):
            with suppress(OSError, ValueError):
                if folder.exists():
                    return shutil.disk_usage(folder).free
        return None


def _refused(address: str, port: int) -> int | None:
    """Return why nothing can listen there, as the error's number, or None: it can. Port 0 is any."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        return error.errno
    return None
