"""Files that sparkctl writes: to a temporary name, synced, renamed."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparkctl.base import private_folder, regular_file
from sparkctl.base.errors import InputError
from sparkctl.world.local import folders, unfinished

if TYPE_CHECKING:
    from collections.abc import Mapping


_SHARED: Final = 0o1777
_MOST: Final = 256 * 1024**2
"""Bytes of a file that are read at once; the log of a start has a few MiB."""


class DiskFiles:
    """The file system. A write is whole or not at all, also when the power is pulled."""

    def write(self, path: Path, content: bytes, *, mode: int) -> None:
        """Write a file and its folders, replacing the regular file that is there.

        A link, a device or a pipe is never replaced, and nothing is written through it.

        Raises:
            InputError: something else than a file is there, no permission, or the disk is full; then nothing is left.
        """
        _written(path, content, mode, replace=True)

    def create(self, path: Path, content: bytes, *, mode: int) -> bool:
        """Write a file that is not there yet, and its folders; False: something has this name already.

        Raises:
            InputError: no permission, or the disk is full; then nothing is left.
        """
        return _written(path, content, mode, replace=False)

    def write_folder(self, path: Path, contents: Mapping[str, bytes], *, replace: bool) -> None:
        """Write a folder with these files; with ``replace`` in the place of the one that is there.

        Raises:
            InputError: it is there already, no permission, or the disk is full; then nothing has changed.
        """
        folders.write_folder(path, contents, replace=replace)

    def make_folder(self, path: Path, *, shared: bool) -> None:
        """Make a folder and those above it for their owner alone, unless it is there.

        ``shared``: every user may write in it; those above stay closed, so that only a container, which has the folder
        itself, gets there.

        Raises:
            InputError: no permission, or the disk is full.
        """
        try:
            private_folder.make(path)
            if shared and stat.S_IMODE(path.stat().st_mode) != _SHARED:
                path.chmod(_SHARED)
        except OSError as error:
            message = f"cannot make the folder {path}: {(error.strerror or str(error)).lower()}"
            raise InputError(message, hint="free some space or mend the folder's owner, and try again") from None

    def remove(self, path: Path) -> None:
        """Remove a file; one that is not there is no error."""
        path.unlink(missing_ok=True)

    def content(self, path: Path) -> bytes | None:
        """Return the content of a file; None if there is none, or it cannot be read."""
        try:
            return regular_file.read_bytes(path, _MOST)
        except InputError:
            return None

    def names(self, folder: Path) -> list[str]:
        """Return the names of the files in a folder, in order; [] if it is missing, or cannot be read."""
        try:
            return sorted(path.name for path in folder.iterdir() if path.is_file())
        except OSError:
            return []

    def sweep(self, folder: Path) -> list[Path]:
        """Remove what writes that were killed left in a folder and below, and return what that was."""
        return unfinished.sweep(folder)


def _refuse_other(path: Path) -> None:
    """Refuse to take the place of what is no regular file: a rename over /dev/null would leave a file there."""
    try:
        kind = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISREG(kind):
        names = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        what = names.get(stat.S_IFMT(kind), "a device")
        raise InputError(f"cannot write {path}: {what} is there", hint="name a new file, or a regular one to replace")


def _written(path: Path, content: bytes, mode: int, *, replace: bool) -> bool:
    """Write a file beside its place and give it its name; False: without ``replace``, the name is taken."""
    temporary: Path | None = None
    try:
        if replace:
            _refuse_other(path)
        private_folder.make(path.parent)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=unfinished.prefix(path), suffix=unfinished.SUFFIX)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        return _named(temporary, path, replace=replace)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        message = f"cannot write {path}: {error.strerror}"
        raise InputError(message, hint="free some space or mend the folder's owner, and try again") from None
    except ValueError as error:
        raise InputError(f"cannot write {path}: this can be no name of a file ({error})") from None


def _named(temporary: Path, path: Path, *, replace: bool) -> bool:
    if replace:
        temporary.replace(path)
        return True
    try:
        path.hardlink_to(temporary)  # which a rename would put in the place of another one
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True
