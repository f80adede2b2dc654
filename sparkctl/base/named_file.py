"""Files that an operator names, on the command line or in another file, and those that a folder has."""

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
    """Return whether a name is a file's, and not one to look for in the folders."""
    return "/" in name or name.endswith((".yaml", ".yml"))


def there(path: Path) -> bool:
    """Return whether a file is there and may be seen."""
    try:
        return path.is_file()
    except OSError:
        return False


def below(folder: Path, name: str) -> Path | None:
    """Return a folder's file of this name, None where it has none or it may not be seen; without a path for none."""
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
    """Return a name that a file mentions; a file is looked for from that file's folder."""
    return str(path.parent / from_home(name)) if is_path(name) else name
