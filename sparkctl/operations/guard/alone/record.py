"""What the guard did: kept in memory when it acts, and written down when there is time again.

The file has a line of JSON for each action, for the agent and the commands; the older half goes to a second file.
"""

from __future__ import annotations

import os

from sparkctl.operations.guard.alone import small_json
from sparkctl.operations.guard.alone.lines import STRIKES, WHYS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MOST_BYTES: Final = 256 * 1024
"""The most bytes of a file; there are two."""
KEPT: Final = 64
"""The most actions that wait in memory to be written; if there are more, the first ones stay."""
GONE: Final = "gone"
"""Why a strike reached nobody."""


class Deed:
    """One action. Bytes; ``after_s`` is from the line crossed to the signal; ``at`` is in the epoch's seconds.

    ``strike`` is NOTHING where nobody was there to be hit. ``found`` is what was found afterwards, in words.
    """

    __slots__ = (
        "after_s", "at", "available", "container", "found", "free", "lines", "rate", "reached", "strike", "victim",
        "whole", "why",
    )  # fmt: skip

    def __init__(self, at: float, strike: int, why: int) -> None:
        self.at = at
        self.strike = strike
        self.why = why
        self.after_s = 0.0
        self.available = self.free = 0
        self.rate = 0.0
        self.lines = (0, 0, 0)
        self.victim = self.container = ""
        self.reached = 0
        self.whole = False
        self.found = ""

    def line(self) -> str:
        """Return it as a line of the file."""
        reserve, act, floor = self.lines
        document = {
            "at": round(self.at, 3),
            "did": STRIKES[self.strike],
            "why": WHYS[self.why],
            "victim": self.victim,
            "container": self.container,
            "by": "cgroup" if self.whole else "processes",
            "reached": self.reached,
            "after_ms": round(self.after_s * 1000, 1),
            "available_bytes": self.available,
            "free_bytes": self.free,
            "bytes_per_second": round(self.rate),
            "reserve_bytes": reserve,
            "act_bytes": act,
            "floor_bytes": floor,
            "found": self.found,
        }
        return small_json.line_of(document)


class Deeds:
    """The actions that are not written yet, and the file that they go to."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._waiting: list[Deed] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def keep(self, action: Deed) -> None:
        """Keep an action in memory; no file is touched."""
        if len(self._waiting) < KEPT:
            self._waiting.append(action)

    @property
    def waiting(self) -> tuple[Deed, ...]:
        """The actions not yet written, the oldest first."""
        return tuple(self._waiting)

    def write(self) -> str:
        """Append what waits to the file; return "" or why it cannot be written, and then it is forgotten."""
        text = "".join(one.line() for one in self._waiting).encode()
        self._waiting.clear()
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self._path, flags, 0o644)
            try:
                os.write(descriptor, text)
                large = os.fstat(descriptor).st_size > MOST_BYTES
            finally:
                os.close(descriptor)
            if large:
                os.replace(self._path, f"{self._path}.1")
        except OSError as error:
            return f"{self._path}: {error.strerror}"
        return ""
