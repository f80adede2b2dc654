"""/proc/meminfo, opened once: a look is one call, into memory that is there already."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

PATH: Final = "/proc/meminfo"
_ROOM: Final = 256
"""MemTotal, MemFree and MemAvailable are its first three lines."""
_KIB: Final = 1024


class MemInfo:
    """The host's memory: MemTotal, MemFree and MemAvailable in bytes, as of the last look."""

    __slots__ = ("_buffer", "_descriptor", "_into", "available", "free", "total")

    def __init__(self, path: str = PATH) -> None:
        """Open it.

        Raises:
            OSError: as the system refuses it.
            ValueError: it says no MemAvailable.
        """
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._buffer = bytearray(_ROOM)
        self._into = (self._buffer,)
        self.total = self.free = self.available = 0
        try:
            self.look()
            self.total = self._value(b"MemTotal:")
        except ValueError:
            raise ValueError("expected MemTotal, MemFree and MemAvailable in its first lines, in kB") from None

    def look(self) -> None:
        """Read what is free and available now."""
        os.preadv(self._descriptor, self._into, 0)
        self.free = self._value(b"MemFree:")
        self.available = self._value(b"MemAvailable:")

    def _value(self, name: bytes) -> int:
        place = self._buffer.index(name) + len(name)
        return int(self._buffer[place : self._buffer.index(b"kB", place)]) * _KIB
