"""The real path of a file, with its links followed. Pure, except that it asks the file system."""

from __future__ import annotations

import posixpath
from pathlib import Path


def real(path: Path) -> Path:
    """Return a path with its links followed; unresolved if they form a circle, or if it cannot be a path.

    It is what ``Path.resolve`` returns, in half of the time; a circle is no error of its own (Python before 3.13 raises
    RuntimeError for one, gh-109187).
    """
    try:
        return Path(posixpath.realpath(path))
    except (OSError, ValueError):
        return path.absolute() if "\0" not in str(path) else path
