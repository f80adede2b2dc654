"""Files that sparkctl writes: to a temporary name, synced, renamed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError
from sparkctl.world.local import folders, unfinished

if TYPE_CHECKING:
    from collections.abc import Mapping


class DiskFiles:
    """The file system. A write is whole or not at all, also when the power is pulled."""

    def write(self, path: Path, content: bytes, *, mode: int) -> None:
        """Write a file and its folders, replacing what is there.

        Raises:
            InputError: no permission, or the disk is full; then nothing is left.
        """
        temporary: Path | None = None
        try:
            folders.make(path.parent)
            descriptor, name = tempfile.mkstemp(
                dir=path.parent, prefix=unfinished.prefix(path), suffix=unfinished.SUFFIX
            )
            temporary = Path(name)
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            temporary.replace(path)
        except OSError as error:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
            message = f"cannot write {path}: {error.strerror}"
            raise InputError(message, hint="free some space or mend the folder's owner, and try again") from None

    def write_folder(self, path: Path, contents: Mapping[str, bytes], *, replace: bool) -> None:
        """Write a folder with these files; with ``replace`` in the place of the one that is there.

        Raises:
            InputError: it is there already, no permission, or the disk is full; then nothing has changed.
        """
        folders.write_folder(path, contents, replace=replace)

    def remove(self, path: Path) -> None:
        """Remove a file; one that is not there is no error."""
        path.unlink(missing_ok=True)

    def content(self, path: Path) -> bytes | None:
        """Return what is in a file; None where there is none, or it cannot be read."""
        try:
            return path.read_bytes()
        except OSError:
            return None

    def sweep(self, folder: Path) -> list[Path]:
        """Remove what writes that were killed left in a folder and below, and return what that was."""
        return unfinished.sweep(folder)
