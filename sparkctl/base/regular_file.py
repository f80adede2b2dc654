"""Files that somebody else wrote, read within a bound: an operator's, a downloaded model's. Only regular ones.

A pipe that nobody writes to would hold the reader for ever, and a device such as /dev/zero has no end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HINT: Final = "check its name, its kind and its permissions"


def is_there(path: Path) -> bool:
    """Return whether a path leads to a regular file; False if it cannot be looked at, or cannot be a path."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Return whether a path leads to a folder; False if it cannot be looked at, or cannot be a path."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def read_bytes(path: Path, most: int) -> bytes:
    """Return the bytes of a regular file; links are followed.

    Raises:
        InputError: it is not there, is no regular file, has more than ``most`` bytes, or cannot be read.
    """
    try:
        _refuse_irregular(path)
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    except ValueError as error:  # a NUL character, or half a surrogate pair
        raise _unreadable(path, f"this can be no name of a file ({error})") from None
    if len(data) > most:
        raise _unreadable(path, f"it has more than {most:,} bytes, the most that is read")
    return data


def read_text(path: Path, most: int) -> str:
    """Return the text of a regular file in UTF-8, its line ends as Unix has them.

    Raises:
        InputError: as for ``read_bytes``, or it is no UTF-8.
    """
    try:
        text = read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"it is no text in UTF-8 (byte {error.start})") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines(path: Path, most: int) -> Iterator[bytes]:
    """Yield the lines of a regular file, which links may lead to, one at a time and without their ends.

    Raises:
        InputError: it is not there, is no regular file, has a line of more than ``most`` bytes, or cannot be read.
    """
    try:
        _refuse_irregular(path)
        with path.open("rb") as file:
            while line := file.readline(most + 1):
                if len(line) > most:
                    raise _unreadable(path, f"it has a line of more than {most:,} bytes, the most that is read")
                yield line.removesuffix(b"\n")
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    except ValueError as error:  # a NUL character, or half a surrogate pair
        raise _unreadable(path, f"this can be no name of a file ({error})") from None


def _refuse_irregular(path: Path) -> None:
    if not path.is_file():
        path.stat()  # says why, where it cannot be looked at
        raise _unreadable(path, "it is a folder" if path.is_dir() else "it is no regular file")


def _unreadable(path: Path, why: str) -> InputError:
    return InputError(f"cannot read {path}: {why}", hint=_HINT)
