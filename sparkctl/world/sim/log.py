"""The log of a simulated container, read while it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class FileTail:
    """A reader of a log that does not wait; a line without its end is kept for the next call."""

    def __init__(self, path: Path, offset: int) -> None:
        self._path = path
        self._offset = offset
        self._closed = False

    def read(self) -> list[str]:
        """Return the lines that came since the last call."""
        if not self._path.is_file():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            came = b"" if self._closed else file.read()
        whole = came[: came.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.decode(errors="replace").splitlines()

    def close(self) -> None:
        """Stop reading."""
        self._closed = True
