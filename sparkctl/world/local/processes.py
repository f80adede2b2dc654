"""The process that made something, and whether it still runs.

A process is written as HOST~BOOT~NAMESPACE~PID~START: after a kill, its number alone is soon another process's.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Final

PATTERN: Final = r"[A-Za-z0-9-]*~[0-9a-f]*~\d*~\d+~\d*"
"""A process as ``me`` writes it."""
_PROC: Final = Path("/proc")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_ENDED: Final = {"Z", "X", "x"}  # it has ended and its parent has not asked how; dead (proc(5))
_STATE, _START = 0, 19
"""The positions of the state and the start among the fields of /proc/PID/stat after the name (proc(5): 3 and 22)."""


def me() -> str:
    """Return this process; the text is fit for a label and for a file's name."""
    return "~".join([*_machine(), str(os.getpid()), began(os.getpid()) or ""])


def lives(process: str) -> bool | None:
    """Return whether a process still runs; None if that cannot be known from here.

    It cannot be known of a process of another host or of another container, of one that /proc hides, and of a text
    that ``me`` did not write.
    """
    if not re.fullmatch(PATTERN, process):
        return None
    host, boot, namespace, number, start = process.split("~")
    own_host, own_boot, own_namespace = _machine()
    if host != own_host or not boot:
        return None
    if boot != own_boot:
        return False  # this host was started anew since then
    if namespace != own_namespace:
        return None
    found = began(int(number))
    return _exists(int(number)) if found is None else found == start


def _machine() -> tuple[str, str, str]:
    """Return this host's name, its start, and the namespace in which this process has its number."""
    host = re.sub(r"[^A-Za-z0-9]+", "-", platform.node())[:40]
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip().replace("-", "")[:12]
        return host, boot, str((_PROC / "self/ns/pid").stat().st_ino)
    except OSError:
        return host, "", ""


def began(number: int) -> str | None:
    """Return when a process began, in the kernel's ticks, or None: it has ended, or it is hidden."""
    try:
        fields = (_PROC / str(number) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[_STATE] in _ENDED else fields[_START]


def cgroup(number: int) -> str:
    """Return the folder of a process's cgroup v2, "" if it has none, or it is the host's root."""
    try:
        lines = (_PROC / str(number) / "cgroup").read_text().splitlines()
    except OSError:
        return ""
    path = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")
    folder = _CGROUPS / path.lstrip("/")
    return str(folder) if path != "/" and (folder / "cgroup.procs").exists() else ""


def _exists(number: int) -> bool | None:
    """Return False if there is no process with this number, None if there is one that cannot be looked at."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return None
    # A process of ours that has no start to show has ended, and waits for its parent to ask.
    return False
