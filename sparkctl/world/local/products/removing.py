"""A folder removed with all that is in it, however deep a stranger's program nested it.

Python's own ``shutil.rmtree`` calls itself for each level (CPython 3.11, Lib/shutil.py), and ends at a thousand of
them. Here a folder in a folder is moved to the top, so that there are never more than two levels.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from secrets import token_hex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_OWN: Final = 0o700
_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(folder: Path) -> None:
    """Remove a folder; links in it are removed, and what they lead to is not touched.

    Raises:
        OSError: as the system refuses it; a part may be gone.
    """
    folder.chmod(_OWN)
    top = os.open(folder, _OPEN)
    try:
        while names := os.listdir(top):  # noqa: PTH208  (of a descriptor)
            for name in names:
                _removed(name, top)
    finally:
        os.close(top)
    folder.rmdir()


def _removed(name: str, top: int) -> None:
    """Remove an entry of the top folder; the folders in it become entries of the top folder."""
    if not _is_folder(name, top):
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=top)
        return
    os.chmod(name, _OWN, dir_fd=top)  # a script may have closed it
    inner = os.open(name, _OPEN, dir_fd=top)
    try:
        for child in os.listdir(inner):  # noqa: PTH208
            if _is_folder(child, inner):
                os.chmod(child, _OWN, dir_fd=inner)
                os.rename(child, f".removing-{token_hex(8)}", src_dir_fd=inner, dst_dir_fd=top)
            else:
                os.unlink(child, dir_fd=inner)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=top)


def _is_folder(name: str, within: int) -> bool:
    with suppress(FileNotFoundError):
        return stat.S_ISDIR(os.stat(name, dir_fd=within, follow_symlinks=False).st_mode)
    return False
