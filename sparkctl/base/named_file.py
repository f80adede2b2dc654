"""Files that an operator names on the command line or in another file, and the files of a folder."""

from __future__ import annotations

import posixpath
from pathlib import Path

from sparkctl.base import document, regular_file
from sparkctl.base.errors import InputError


def from_home(name: str) -> Path:
    """Return the path that a name is, with ``~`` and ``~USER`` as those homes.

    Raises:
        InputError: there is no such user, or their home is not known.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError:
        user = name.partition("/")[0]
        raise InputError(f"{name}: no home folder is known for {user}", hint="write the path from /") from None


def is_path(name: str) -> bool:
    """Return whether a name is the path of a file, rather than a name to look for in the folders."""
    return "/" in name or name.endswith((".yaml", ".yml"))


def there(path: Path) -> bool:
    """Return whether a file is there and may be seen."""
    try:
        return path.is_file()
    except OSError:
        return False


def below(folder: Path, name: str) -> Path | None:
    """Return the file of this name in a folder; None if there is no such file, or it may not be seen."""
    text = f"{folder}/{name}"
    return Path(text) if posixpath.isfile(text) else None


def matching(folder: Path, pattern: str) -> list[Path]:
    """Return a folder's files, in order.

    Raises:
        InputError: the folder may not be read.
    """
    try:
        return sorted(folder.glob(pattern))
    except OSError as error:
        hint = "mend its owner or its mode; is HOME yours?"
        raise InputError(f"cannot read {folder}: {error.strerror}", hint=hint) from None


def text(path: Path) -> str:
    """Return what is in a file, or nothing where it cannot be read."""
    try:
        return regular_file.read_bytes(path, document.MAX_BYTES).decode(errors="replace")
    except InputError:
        return ""


def beside(path: Path, name: str) -> str:
    """Return a name that a file mentions; if it is a path, it is relative to the folder of that file."""
    return str(path.parent / from_home(name)) if is_path(name) else name
