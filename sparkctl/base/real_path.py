"""Where a path leads, by its links. Pure but for the file system that it asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def real(path: Path) -> Path:
    """Return a path with its links followed; as it is where they lead in a circle, or it can be none.

    Of a circle Python before 3.13 raises RuntimeError, although it is not asked to be strict (gh-109187).
    """
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return path.absolute() if "\0" not in str(path) else path
