"""A folder of somebody else's files, read within bounds: nothing from outside of it, no device, no endless tree."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError
from sparkctl.base.real_path import real
from sparkctl.base.units import MIB


class FolderBounds(NamedTuple):
    """How much of a folder is read: the largest public collection of recipes has under a thousand files.

    ``size`` bounds all stored texts together, in characters, ``one`` a single file, in bytes.
    """

    files: int = 20_000
    size: int = 64 * MIB
    one: int = 10 * MIB


BOUNDS: Final = FolderBounds()
_LEAVES: Final = "a link that leaves the folder"
_READ: Final = (".yaml", ".yml", ".sh", ".bash", ".container", ".service", ".md", ".txt", ".env", ".conf", ".command")
_NAMED: Final = frozenset({".env", "env", "Makefile", "justfile"})
_SKIPPED: Final = frozenset({".git", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".mypy_cache"})


class ReadFolder(NamedTuple):
    """Texts by their paths from the root, with ``/`` between; ``refused`` are what was not read, each with its why."""

    root: Path
    texts: Mapping[str, str]
    refused: tuple[tuple[str, str], ...] = ()


def read_folder(root: Path, bounds: FolderBounds = BOUNDS) -> ReadFolder:
    """Return the texts of a folder and of all below it.

    Links that leave the folder are refused, and links to folders are not followed: what is inside is read at its own
    place. Files of other kinds, and those that are no text, are left alone.

    Raises:
        InputError: it is no folder, or there is more of it than is read.
    """
    if not regular_file.is_folder(root):
        raise InputError(f"{root} is no folder", hint="name a folder, or one file")
    whole, size = real(root), 0
    texts: dict[str, str] = {}
    refused: list[tuple[str, str]] = []
    for count, path in enumerate(_files(whole, refused), 1):
        name = path.relative_to(whole).as_posix()
        if count > bounds.files:
            raise InputError(f"{root} has more than {bounds.files:,} files", hint="name a folder inside of it")
        if not (path.name.endswith(_READ) or path.name in _NAMED):
            continue
        text = _text(path, whole, refused, bounds.one)
        if text is not None:
            texts[name], size = text, size + len(text)
        if size > bounds.size:
            raise InputError(
                f"{root} has more than {bounds.size // MIB} MiB of texts", hint="name a folder inside of it"
            )
    return ReadFolder(whole, texts, tuple(refused))


def _files(root: Path, refused: list[tuple[str, str]]) -> Iterator[Path]:
    """Yield the files of a folder and below, in the order of their paths; folders that are links are not entered."""

    def unreadable(error: OSError) -> None:
        refused.append((os.path.relpath(error.filename, root), error.strerror or str(error)))

    for where, folders, files in os.walk(root, onerror=unreadable):
        folders[:] = sorted(set(folders) - _SKIPPED)
        yield from (Path(where) / name for name in sorted(files))
        links = [path for name in folders if (path := Path(where) / name).is_symlink() and _leaves(path, root)]
        refused += [(path.relative_to(root).as_posix(), _LEAVES) for path in links]


def _leaves(link: Path, root: Path) -> bool:
    return root not in {real(link), *real(link).parents}


def _text(path: Path, root: Path, refused: list[tuple[str, str]], most: int) -> str | None:
    name = path.relative_to(root).as_posix()
    if path.is_symlink() and _leaves(path, root):
        refused.append((name, _LEAVES))
        return None
    if regular_file.is_folder(path):
        return None
    try:
        return regular_file.read_text(path, most)
    except InputError as error:
        refused.append((name, error.message))
        return None


class TextsBeside(Mapping[str, str]):
    """The texts of a folder by their paths from one file's folder, as a reader looks for what its file names."""

    def __init__(self, texts: Mapping[str, str], file: str) -> None:
        self._texts = texts
        self._from = posixpath.dirname(file)

    def __getitem__(self, path: str) -> str:
        return self._texts[posixpath.normpath(posixpath.join(self._from, path))]

    def __iter__(self) -> Iterator[str]:
        return (posixpath.relpath(path, self._from or ".") for path in self._texts)

    def __len__(self) -> int:
        return len(self._texts)
