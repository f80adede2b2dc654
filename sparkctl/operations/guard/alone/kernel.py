"""Kernel calls of the guard that Python's small modules lack: locked memory, notify, the start of a process."""

from __future__ import annotations

import ctypes
import os

from sparkctl.operations.guard.alone import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

OOM_SCORE: Final = -900
"""The kernel kills the guard after nearly everything else. earlyoom has -100; -1000 would be never."""
NICE: Final = -20
SIGKILL: Final = 9
SIGTERM: Final = 15
_ALL_WHEN_TOUCHED: Final = 1 | 2 | 4
"""MCL_CURRENT, MCL_FUTURE and MCL_ONFAULT (mlockall(2)): what is touched stays, what is not takes nothing."""
_AF_UNIX: Final = 1
_DATAGRAM: Final = 2 | 0o4000 | 0o2000000
"""SOCK_DGRAM, which neither waits nor is inherited (socket(2); the figures of x86-64 and arm64)."""


def lock_memory() -> str:
    """Keep all of this process in memory; return "" or why that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "malloc_trim"):  # glibc has it
        libc.malloc_trim(0)  # gives back what only the start needed
    if libc.mlockall(_ALL_WHEN_TOUCHED) == 0:
        return ""
    return os.strerror(ctypes.get_errno())


def spare_me() -> str:
    """Let the kernel kill others first and run this process first; return "" or what of it is not allowed."""
    refused = []
    try:
        with open("/proc/self/oom_score_adj", "r+b", buffering=0) as file:
            if int(file.read()) > OOM_SCORE:
                file.write(b"%d" % OOM_SCORE)
    except OSError as error:
        refused.append(f"OOM score {OOM_SCORE}: {error.strerror}")
    try:
        if os.getpriority(os.PRIO_PROCESS, 0) > NICE:
            os.setpriority(os.PRIO_PROCESS, 0, NICE)
    except OSError as error:
        refused.append(f"nice {NICE}: {error.strerror}")
    return "; ".join(refused)


def start_of(pid: int) -> int | None:
    """Return when a process began, in the kernel's ticks; None: it has ended, or is not to be seen."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return state.started(os.read(descriptor, 4096))
    except OSError:
        return None
    finally:
        os.close(descriptor)


class Notify:
    """systemd's notify socket; silent if there is none. Nothing here waits for systemd."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._descriptor = -1
        name = environ.get("NOTIFY_SOCKET", "")
        if not name.startswith(("/", "@")):
            return
        address = name.encode()
        if name.startswith("@"):
            address = b"\0" + address[1:]
        place = _AF_UNIX.to_bytes(2, "little") + address
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = libc.socket(_AF_UNIX, _DATAGRAM, 0)
        if descriptor >= 0 and libc.connect(descriptor, place + b"\0" * name.startswith("/"), len(place)) == 0:
            self._descriptor = descriptor
        elif descriptor >= 0:
            os.close(descriptor)

    def say(self, text: bytes) -> None:
        """Say something: READY=1, WATCHDOG=1."""
        if self._descriptor < 0:
            return
        try:
            os.write(self._descriptor, text)
        except OSError:
            return  # systemd is busy, or gone: the guard goes on
