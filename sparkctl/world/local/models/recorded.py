"""The files of a model on this host's disk, with the checksums that their download noted; no file is read for them.

A snapshot of the hub's cache is links to blobs, which have their sums as their names: the sha256 of a large file (LFS),
git's name of a small one. A folder that the hub's library downloaded has a note beside each file.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError
from sparkctl.base.units import MIB
from sparkctl.world.host import INCOMPLETE, ModelFile, ModelRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNUSED: Final = ("*.bin", "*.pth", "*.pt", "*.gguf", "*.msgpack", "*.h5", "original/*", "consolidated*")
"""The weights vLLM loads are safetensors; a second copy in another format would double the download."""
_NOT_READ: Final = frozenset({
    "", ".md", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".pdf", ".mp4", ".lock", INCOMPLETE,
})  # fmt: skip
"""Ends of names of files that no server reads: pictures, texts for people (LICENSE, README.md), what is unfinished."""
_MAX_ENTRIES: Final = 20_000
"""The most files of one model's folder; DeepSeek's, the largest known, has 200."""
_NOTE_BYTES: Final = 4096
_NOTES: Final = Path(".cache/huggingface/download")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_PIECE: Final = 8 * MIB
_LATE_S: Final = 1.0
"""By so much a file may be younger than its note: the times of files are no more exact (huggingface_hub 2.4)."""
GIT: Final = "git-sha1"


class _Note(NamedTuple):
    commit: str
    sum: str


def is_read(name: str) -> bool:
    """Return whether a server may read a model's file of this name: weights, settings, vocabularies, code."""
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") for part in path.parts)
    if any("\ud800" <= one <= "\udfff" for one in name):
        return False  # no UTF-8: no hub has such a name, and no file of ours can write it down
    return not hidden and path.suffix.lower() not in _NOT_READ and not any(fnmatch.fnmatch(name, o) for o in UNUSED)


def recorded(folder: Path) -> ModelRecord:
    """Return the contents of a model's folder, or of a snapshot of a cache; nothing if it cannot be looked at."""
    files, commits = [], set()
    for name, path, size in _files(folder):
        note = _of_blob(path) or _of_note(folder, name, path)
        files.append(ModelFile(name, size, note.sum if note else ""))
        commits.add(note.commit if note else "")
    own = commit_of(folder.name) if folder.parent.name == "snapshots" else None
    noted = next(iter(commits)) if len(commits) == 1 else ""
    return ModelRecord(own or noted or None, tuple(sorted(files)))


def summed(file: Path, kind: str, came: Callable[[int], None]) -> str:
    """Return the checksum of a file, reading all of it; its pages are given back at once.

    The page cache would keep a checkpoint of 110 GB, and an idle Spark went down after that twice (the field report in
    tonyd2wild/GLM-5.3-Flash-NVFP4-DFlash2-2x-DGX-Spark).

    Raises:
        InputError: it is no regular file, or cannot be read.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb", buffering=0) as opened:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise InputError(f"cannot read {file}: it is no regular file")
            digest = hashlib.sha1(usedforsecurity=False) if kind == GIT else hashlib.sha256()
            if kind == GIT:
                digest.update(f"blob {found.st_size}\0".encode())
            done = 0
            while piece := opened.read(_PIECE):
                digest.update(piece)
                os.posix_fadvise(descriptor, done, len(piece), os.POSIX_FADV_DONTNEED)
                done += len(piece)
                came(len(piece))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None
    return f"{kind if kind == GIT else 'sha256'}:{digest.hexdigest()}"


def sum_of(etag: str) -> str:
    """Return the checksum by which the hub names a file, "" if its form is unknown."""
    if _SHA256.fullmatch(etag):
        return f"sha256:{etag}"
    return f"{GIT}:{etag}" if _COMMIT.fullmatch(etag) else ""


def commit_of(text: str) -> str | None:
    """Return a commit as the hub names it, None for any other text."""
    return text if _COMMIT.fullmatch(text) else None


def _files(folder: Path) -> Iterator[tuple[str, Path, int]]:
    """Yield the files that a server may read: the name below the folder, where it is, and its bytes."""
    seen = 0
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            seen += 1
            if seen > _MAX_ENTRIES:
                return
            path = Path(where) / name
            below = path.relative_to(folder).as_posix()
            if is_read(below) and regular_file.is_there(path):
                yield below, path, path.stat().st_size


def _of_blob(path: Path) -> _Note | None:
    """Return what the name of the blob says that a link of a cache's snapshot leads to."""
    try:
        blob = path.readlink() if path.is_symlink() else None
    except OSError:
        return None
    return _Note("", sum_of(blob.name)) if blob is not None and blob.parent.name == "blobs" else None


def _of_note(folder: Path, name: str, path: Path) -> _Note | None:
    """Return what the hub's library noted beside a file that it downloaded, None where the file has changed since."""
    note = folder / _NOTES / f"{name}.metadata"
    if not regular_file.is_there(note):
        return None
    try:
        commit, etag, time, *_ = regular_file.read_text(note, _NOTE_BYTES).splitlines()
        as_noted = path.stat().st_mtime - _LATE_S <= float(time)
    except (InputError, OSError, ValueError):
        return None
    known = as_noted and _COMMIT.fullmatch(commit.strip())
    return _Note(commit.strip(), sum_of(etag.strip())) if known else None
