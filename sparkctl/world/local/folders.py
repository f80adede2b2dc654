"""A folder of files that comes into being whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.base import private_folder
from sparkctl.base.errors import InputError
from sparkctl.world.local import unfinished

if TYPE_CHECKING:
    from collections.abc import Mapping


def write_folder(path: Path, contents: Mapping[str, bytes], *, replace: bool) -> None:
    """Write a folder with these files; with ``replace`` in the place of the one that is there.

    The files are written into a folder beside it, which then takes the name: whoever looks finds the old one or the
    new one whole, or for a moment none.

    Raises:
        InputError: it is there already, there is no permission, or the disk is full; then nothing has changed.
    """
    try:
        private_folder.make(path.parent)
        # Two levels deep, where no catalog looks: what a kill leaves behind is no mod.
        with tempfile.TemporaryDirectory(
            dir=path.parent, prefix=unfinished.prefix(path), suffix=unfinished.SUFFIX
        ) as beside:
            new = Path(beside) / "new"
            new.mkdir()
            new.chmod(0o755)  # whatever the umask is
            for name, content in contents.items():
                _write(new / name, content)
            _take_name(new, path, replace=replace)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror}"
        raise InputError(message, hint="free some space or mend the folder's owner, and try again") from None


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _take_name(new: Path, path: Path, *, replace: bool) -> None:
    if not os.path.lexists(path):
        new.rename(path)
        return
    if not replace:
        raise InputError(f"{path} is there already", hint="--force replaces it")
    old = new.with_name("old")
    path.rename(old)
    try:
        new.rename(path)
    except BaseException:
        with suppress(OSError):
            old.rename(path)
        raise
