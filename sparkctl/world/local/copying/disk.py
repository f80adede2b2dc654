"""The disk's side of copies: what lies in a model's folder, and how a file that came gets its name.

It is sent to other hosts, and uses the standard library alone.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError
from sparkctl.world.host import StoredFile
from sparkctl.world.local.models import recorded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_NOTES: Final = ".cache/huggingface/download"
_FOLDERS: Final = 0o755
"""The mode of a model's folders: the user who serves it, another one in a container, has to read it."""
_FILES: Final = 0o644


class CopyDisk:
    """Files of models on this host's disk. Each method raises InputError where the disk refuses."""

    def files(self, folder: Path) -> list[StoredFile]:
        """Return the files of a model that a server may read, and the notes of its download, by name."""
        found = []
        for file in recorded.recorded(folder).files:
            path = folder / file.name
            with suppress(OSError):
                found.append(_stored(file.name, path, file.sum))
            note = folder / _NOTES / f"{file.name}.metadata"
            if regular_file.is_there(note):
                with suppress(OSError):
                    found.append(_stored(f"{_NOTES}/{file.name}.metadata", note, "")._replace(note=True))
        return sorted(found)

    def sizes(self, paths: Sequence[Path]) -> list[int | None]:
        """Return the bytes of each file, None where there is no regular file."""
        return [_size(path) for path in paths]

    def begin(self, path: Path) -> int:
        """Make the folders above a file, and return how many bytes of it are there already.

        What has the name and is no file of its own is removed: nothing is written through a link.
        """
        with _told("write", path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=_FOLDERS)
            try:
                found = path.lstat()
            except FileNotFoundError:
                return 0
            if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
                return found.st_size
            path.unlink()
        return 0

    def finish(self, partial: Path, path: Path, changed_ns: int) -> None:
        """Write a file's bytes to the disk, and give it its name in place of what has it, and its time."""
        with _told("finish", path):
            descriptor = os.open(partial, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fchmod(descriptor, _FILES)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.utime(partial, ns=(changed_ns, changed_ns))
            partial.replace(path)
            _synced(path.parent)

    def link(self, path: Path, text: str) -> None:
        """Make a symbolic link with this text, in place of a link or a file that has its name."""
        with _told("link", path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=_FOLDERS)
            if path.is_symlink() and str(path.readlink()) == text:
                return
            temporary = path.with_name(f"{path.name}.link")
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(text)
            temporary.replace(path)
            _synced(path.parent)

    def remove(self, path: Path) -> None:
        """Remove a file or a link; one that is not there is no error."""
        with _told("remove", path), suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()


def _stored(name: str, path: Path, known: str) -> StoredFile:
    found = path.stat()
    blob = path.readlink() if path.is_symlink() else None
    cached = blob is not None and blob.parent.name == "blobs"
    own = blob.name if cached and blob is not None else ""
    return StoredFile(name, os.path.realpath(path), found.st_size, found.st_mtime_ns, own, known)


def _size(path: Path) -> int | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _synced(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _told(doing: str, path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        message = f"cannot {doing} {path}: {(getattr(error, 'strerror', None) or str(error)).lower()}"
        raise InputError(message, hint="free some space or mend the folder's owner, and try again") from None
