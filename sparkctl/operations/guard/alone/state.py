"""A guard's state, in a file of fixed size that is mapped into memory: an update needs no file call.

Its writer is the guard, its readers are the commands and the agent. What a guard that has ended left behind, or one
that looks no more, counts for nothing. Times are of CLOCK_MONOTONIC, which all processes of a host share.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct

from sparkctl.operations.guard.alone.lines import STRIKES, WHYS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MAGIC: Final = b"SPGUARD1"
_LAYOUT: Final = struct.Struct("<8s Q QQ qqq qqqq d d d d d d QQ ddd BBBBBBBB 120s 200s Q")
SIZE: Final = _LAYOUT.size
_STATE, _START = 0, 19
"""Where the state and the start are among the fields of /proc/PID/stat after the name (proc(5): fields 3 and 22)."""
_ENDED: Final = frozenset("ZXx")
_NAME: Final = 120
_PROBLEM: Final = 200
TRIES: Final = 5
"""Reads of a file that its guard may be writing; it takes microseconds."""
STALE_S: Final = 10.0
"""A guard that has not looked for so long does not look any more: it looks every second at least. A choice."""


class GuardState:
    """A guard's state. Bytes, seconds of CLOCK_MONOTONIC; ``rate``: the fall in bytes a second.

    ``locked``: its memory is locked. ``why`` and ``strike`` are of the last action, whose moment is ``acted_s`` (0.0:
    none yet) and whose victim is ``victim``. ``problem``: why the victims' file is not followed, "" where it is.
    ``worst_look_s`` is the longest look, ``worst_late_s`` how much later than it wanted it looked, at worst.
    """

    __slots__ = (
        "act",
        "acted_s",
        "actions",
        "armed",
        "available",
        "began_s",
        "closed",
        "closed_s",
        "first",
        "floor",
        "free",
        "listed",
        "locked",
        "looked_s",
        "looks",
        "next_s",
        "pid",
        "problem",
        "rate",
        "reserve",
        "started",
        "starting",
        "strike",
        "total",
        "victim",
        "why",
        "worst_late_s",
        "worst_look_s",
    )  # fmt: skip

    def __init__(self, pid: int = 0, started: int = 0) -> None:
        self.pid = pid
        self.started = started
        self.reserve = self.act = self.floor = 0
        self.total = self.available = self.free = 0
        self.rate = 0
        self.looked_s = self.next_s = self.closed_s = self.acted_s = self.began_s = 0.0
        self.looks = self.actions = 0
        self.worst_look_s = self.worst_late_s = 0.0
        self.closed = self.locked = self.starting = False
        self.strike = self.why = 0
        self.listed = self.armed = 0
        self.victim = ""
        self.first = ""
        self.problem = ""

    @property
    def did(self) -> str:
        """The last action."""
        return STRIKES[self.strike]

    @property
    def reason(self) -> str:
        """Why the last action was."""
        return WHYS[self.why]

    def stale(self, now: float) -> bool:
        """Return whether it does not look any more, at a moment of CLOCK_MONOTONIC."""
        return now - self.looked_s > STALE_S


class OwnFolder:
    """The folder that a guard writes in, and the lock in it by which it is the only one there."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._descriptor = -1

    def take(self) -> str:
        """Make the folder, and hold its lock until this process ends; return "" or why that cannot be.

        Again, it is made anew where somebody removed it.

        Raises:
            OSError: as the system refuses it.
        """
        os.makedirs(self._folder, mode=0o755, exist_ok=True)
        path = f"{self._folder}/lock"
        if self._descriptor >= 0 and _is_at(path, self._descriptor):
            return ""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return f"another guard runs with the folder {self._folder}"
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = descriptor
        return ""


def _is_at(path: str, descriptor: int) -> bool:
    """Return whether a file that is open is the one of this name still."""
    mine = os.fstat(descriptor)
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)


class StateFile:
    """The file as its writer has it: made anew, mapped, and of its final size."""

    def __init__(self, path: str) -> None:
        """Make the file.

        Raises:
            OSError: as the system refuses it.
        """
        beside = f"{path}.{os.getpid()}"
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            os.fchmod(descriptor, 0o644)
            os.write(descriptor, bytes(SIZE))
            self._map = mmap.mmap(descriptor, SIZE)
            os.rename(beside, path)
        except OSError:
            os.close(descriptor)
            raise
        self._path, self._descriptor = path, descriptor
        self._sequence = 0
        self._texts: dict[str, bytes] = {}

    @property
    def is_there(self) -> bool:
        """Whether it is still what its readers find."""
        return _is_at(self._path, self._descriptor)

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
        os.close(self._descriptor)

    def write(self, state: GuardState) -> None:
        """Write a state, whole: a reader that comes in between sees that, and reads again."""
        self._sequence += 1
        _LAYOUT.pack_into(
            self._map, 0, MAGIC, self._sequence, state.pid, state.started, state.reserve, state.act, state.floor,
            state.total, state.available, state.free, state.rate, state.looked_s, state.next_s, state.closed_s,
            state.acted_s, state.began_s, 0.0, state.looks, state.actions, state.worst_look_s, state.worst_late_s, 0.0,
            state.closed, state.locked, state.starting, state.strike, state.why, state.listed, state.armed, 0,
            self._text(f"{state.victim}\0{state.first}", _NAME), self._text(state.problem, _PROBLEM), self._sequence,
        )  # fmt: skip

    def _text(self, text: str, most: int) -> bytes:
        """Return a text's bytes, made once for each text while it stays the same."""
        known = self._texts.get(text)
        if known is None:
            if len(self._texts) > 2:  # noqa: PLR2004  (as many as there are texts in a state)
                self._texts.clear()
            known = self._texts[text] = text.encode("utf-8", "replace")[:most]
        return known


def parsed(data: bytes) -> GuardState | None:
    """Return the state that a file's bytes say; None for what no guard wrote, or was writing meanwhile."""
    if len(data) != SIZE:
        return None
    (
        magic, head, pid, started, reserve, act, floor, total, available, free, rate, looked_s, next_s, closed_s,
        acted_s, began_s, _, looks, actions, worst_look_s, worst_late_s, _, closed, locked, starting, strike, why,
        listed, armed, _, names, problem, tail,
    ) = _LAYOUT.unpack(data)  # fmt: skip
    if magic != MAGIC or head != tail or not head or strike >= len(STRIKES) or why >= len(WHYS):
        return None
    state = GuardState(pid, started)
    state.reserve, state.act, state.floor = reserve, act, floor
    state.total, state.available, state.free, state.rate = total, available, free, rate
    state.looked_s, state.next_s, state.closed_s, state.acted_s = looked_s, next_s, closed_s, acted_s
    state.began_s = began_s
    state.looks, state.actions, state.worst_look_s, state.worst_late_s = looks, actions, worst_look_s, worst_late_s
    state.closed, state.locked, state.starting = bool(closed), bool(locked), bool(starting)
    state.strike, state.why, state.listed, state.armed = strike, why, listed, armed
    victim, _, first = names.decode("utf-8", "replace").partition("\0")
    state.victim, state.first = victim.rstrip("\0"), first.rstrip("\0")
    state.problem = problem.decode("utf-8", "replace").rstrip("\0")
    return state


def started(stat: bytes) -> int | None:
    """Return the start that /proc/PID/stat says, None for a process that has ended."""
    fields = stat.rpartition(b")")[2].split()
    if len(fields) <= _START or fields[_STATE].decode("ascii", "replace") in _ENDED:
        return None
    return int(fields[_START])
