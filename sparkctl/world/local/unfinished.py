"""The temporary names that files and folders have until they are whole, and what a kill left under them."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from sparkctl.world.local import processes

SUFFIX: Final = ".part"
_NAME: Final = re.compile(rf"\.(?P<name>.+)\.(?P<process>{processes.PATTERN})\.[^.]*{re.escape(SUFFIX)}")
_MOST: Final = 100
"""Characters of the name itself: the temporary one is longer, and no file system takes more than 255."""


def prefix(path: Path) -> str:
    """Return what the temporary name of a path begins with: the path's own name, and the process that writes it."""
    return f".{path.name[:_MOST]}.{processes.me()}."


def sweep(folder: Path) -> list[Path]:
    """Remove, in a folder and below, what is unfinished and whose writer is gone; return the paths.

    A folder that was being replaced when its writer was killed gets its name back. What cannot be removed is left.
    """
    found = []
    for place, folders, files in os.walk(folder):
        left = [name for name in [*folders, *files] if _is_left(name)]
        folders[:] = [name for name in folders if name not in left]
        found += [Path(place) / name for name in left]
    return [path for path in found if _removed(path)]


def _is_left(name: str) -> bool:
    match = _NAME.fullmatch(name)
    return match is not None and processes.lives(match["process"]) is False


def _removed(path: Path) -> bool:
    match = _NAME.fullmatch(path.name)
    with suppress(OSError):
        if path.is_symlink() or not path.is_dir():
            path.unlink()
            return True
        old = path / "old"
        whole = path.with_name(match["name"]) if match else path
        if old.is_dir() and not os.path.lexists(whole):
            old.rename(whole)
        shutil.rmtree(path)
        return True
    return False
