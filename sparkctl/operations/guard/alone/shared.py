"""Shared memory that a killed service leaves in /dev/shm where it had the host's ipc: memory that nobody gives back.

A SIGKILL leaves /dev/shm/psm_* and sem.mp-* until the reboot (MiaAI-Lab/Qwen3.8-Flash-Next-Single-DGX-Spark#13).
A segment is removed where it is certain whose it was and that nobody has it: it was seen in the victim's own memory
while it ran, it is of the victim's user, and no process that lives has it in its memory or open. Any doubt leaves it.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import Final

FOLDER: Final = "/dev/shm"  # noqa: S108  (where POSIX shared memory is; nothing is written)
NAMES: Final = ("psm_", "sem.mp-")
"""The beginnings of the names that Python's multiprocessing gives to segments and semaphores."""
_PIECE: Final = 64 * 1024
_MOST_PIECES: Final = 1024
_MARK: Final = b" /dev/shm/"

Segment = tuple[int, int]
"""A file by its device and its inode."""


def of_processes(pids: Collection[int]) -> set[Segment]:
    """Return the segments in the memory of processes; those that cannot be looked into have none."""
    found: set[Segment] = set()
    for pid in pids:
        try:
            found.update(_mapped(pid))
        except OSError:
            continue
    return found


def swept(
    seen: Collection[Segment], uid: int, folder: str = FOLDER, pids: Collection[int] | None = None
) -> tuple[list[str], list[str]]:
    """Remove the segments of an ended victim that are nobody's, and return those removed and those left, with why.

    ``pids`` are the processes that may have them, None: all.
    """
    removed: list[str] = []
    left: list[str] = []
    candidates = {one: path for one, path, owner in _segments(folder) if one in seen and owner == uid}
    if not candidates:
        return removed, left
    used, doubt = _used(_all() if pids is None else pids)
    for one, path in candidates.items():
        if one in used:
            left.append(f"{path}: in use")
        elif doubt:
            left.append(f"{path}: {doubt}")
        elif problem := _remove(path, one):
            left.append(f"{path}: {problem}")
        else:
            removed.append(path)
    return removed, left


def _segments(folder: str) -> Iterator[tuple[Segment, str, int]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(NAMES):
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode):
                        yield (found.st_dev, found.st_ino), entry.path, found.st_uid
    except OSError:
        return


def _all() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _used(pids: Collection[int]) -> tuple[set[Segment], str]:
    """Return the segments that any of the processes has, and why that may not be all, "" where it is."""
    used: set[Segment] = set()
    doubt = ""
    for pid in pids:
        try:
            used.update(_mapped(pid))
            used.update(_open(pid))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        except OSError as error:
            doubt = doubt or f"process {pid} cannot be looked into ({error.strerror}), it may have it"
    return used, doubt


def _mapped(pid: int) -> Iterator[Segment]:
    """Yield the segments in a process's memory, from /proc/PID/maps (proc(5)), read in pieces."""
    descriptor = os.open(f"/proc/{pid}/maps", os.O_RDONLY | os.O_CLOEXEC)
    try:
        rest = b""
        for _ in range(_MOST_PIECES):
            piece = os.read(descriptor, _PIECE)
            if not piece:
                return
            text, _, rest = (rest + piece).rpartition(b"\n")
            if _MARK in text:
                yield from map(_segment, (line for line in text.split(b"\n") if _MARK in line))
        raise PermissionError(0, "it has too many maps")
    finally:
        os.close(descriptor)


def _segment(line: bytes) -> Segment:
    major, _, minor = line.split()[3].partition(b":")
    return os.makedev(int(major, 16), int(minor, 16)), int(line.split()[4])


def _open(pid: int) -> Iterator[Segment]:
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):
        try:
            if os.readlink(f"{folder}/{name}").startswith(f"{FOLDER}/"):
                found = os.stat(f"{folder}/{name}")
                yield found.st_dev, found.st_ino
        except FileNotFoundError:
            continue


def _remove(path: str, segment: Segment) -> str:
    try:
        found = os.lstat(path)
        if (found.st_dev, found.st_ino) != segment:
            return "another one has its name now"
        os.unlink(path)
    except OSError as error:
        return error.strerror or "refused"
    return ""
