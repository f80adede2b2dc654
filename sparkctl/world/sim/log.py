"""The log of a simulated container, read while it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base import regular_file
from sparkctl.base.units import MIB

if TYPE_CHECKING:
    from pathlib import Path

MOST: Final = 8 * MIB
"""How many bytes one call reads; the rest follows at the next call. A longer line is cut there."""


class FileTail:
    """A reader of a log that does not wait; a line without its end is kept for the next call."""

    def __init__(self, path: Path, offset: int) -> None:
        self._path = path
        self._offset = offset
        self._closed = False

    def read(self) -> list[str]:
        """Return the lines that came since the last call."""
        if self._closed or not regular_file.is_there(self._path):
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            came = file.read(MOST)
        whole = came if len(came) == MOST and b"\n" not in came else came[: came.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.decode(errors="replace").splitlines()

    def close(self) -> None:
        """Stop reading."""
        self._closed = True
