"""The files that an import reads: one, a text from a pipe, or all of a folder, each with what it may ask for."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from sparkctl.base import named_file, regular_file
from sparkctl.base.errors import InputError
from sparkctl.base.real_path import real
from sparkctl.base.units import MIB
from sparkctl.operations.exchange.folder import TextsBeside, read_folder
from sparkctl.recipes.exchange.material import Material

if TYPE_CHECKING:
    from sparkctl.operations.exchange.folder import ReadFolder

STDIN: Final = "-"
MOST_BYTES: Final = 10 * MIB
"""The most bytes that are read of one file."""


def piped_text(stream: BinaryIO) -> str:
    """Return the text that is piped.

    Raises:
        InputError: it is too large, or no text.
    """
    content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise InputError(f"more than {MOST_BYTES:,} bytes are piped, the most that is read", hint="pipe a part of it")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        message = f"what is piped is no text in UTF-8 (byte {error.start})"
        raise InputError(message, hint="pipe a script, or a document with one") from None


def materials(source: str, piped: str, variables: Mapping[str, str]) -> tuple[list[Material], ReadFolder | None]:
    """Return the files that a source is: one, ``piped`` for ``-``, or all of a folder.

    Raises:
        InputError: it is not there, cannot be read, or is too large.
    """
    if not source:
        raise InputError("the source has no name", hint="name a file or a folder, or - for what is piped")
    if source == STDIN:
        return [Material(piped, STDIN, {**_said(Path.cwd()), **variables})], None
    path = named_file.from_home(source)
    if regular_file.is_folder(path):
        found = read_folder(path)
        return [
            Material(
                text, file, {**_said(found.root / posixpath.dirname(file)), **variables}, TextsBeside(found.texts, file)
            )
            for file, text in found.texts.items()
        ], found
    text = regular_file.read_text(path, MOST_BYTES)
    here = real(path.parent)
    return [Material(text, source, {**_said(here), **variables}, _FilesBeside(here))], None


def _said(folder: Path) -> dict[str, str]:
    """Return the variables that the host says: the home as every recipe writes it, and where the file is."""
    return {"HOME": "~", "PWD": str(folder), "UID": str(os.getuid()), "GID": str(os.getgid())}


class _FilesBeside(Mapping[str, str]):
    """The texts of files beside one that is imported, read when they are asked for: none from outside its folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, str] = {}

    def __getitem__(self, path: str) -> str:
        if path not in self._read:
            self._read[path] = self._text(path)
        return self._read[path]

    def __iter__(self) -> Iterator[str]:
        """Return those that were read: a whole folder is read only where it is named."""
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)

    def _text(self, path: str) -> str:
        file = self._folder / path
        if path.startswith(("/", "~", "..")) or not regular_file.is_there(file) or file.is_symlink():
            raise KeyError(path)
        if not real(file).is_relative_to(self._folder):  # a folder on the way is a link
            raise KeyError(path)
        try:
            return regular_file.read_text(file, MOST_BYTES)
        except InputError:
            raise KeyError(path) from None
