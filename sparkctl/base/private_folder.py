"""Folders of sparkctl's own: for their owner alone, whatever the umask is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

MODE: Final = 0o700


def make(folder: Path) -> None:
    """Make a folder and its missing parents; a folder that exists is not changed.

    ``Path.mkdir`` would give the parents the umask's mode: with a umask of 0 everybody could write there.

    Raises:
        OSError: as the system refuses it.
    """
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        if folder == folder.parent:
            break
        folder = folder.parent
    for one in reversed(missing):
        try:
            one.mkdir(mode=MODE)
        except FileExistsError:
            if not one.is_dir():
                raise
            continue  # another sparkctl was quicker
        one.chmod(MODE)
