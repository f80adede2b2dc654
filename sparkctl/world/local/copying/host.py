"""The Copies port of a host: what its disk does, and what programs there do with bytes."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sparkctl.world.host import StoredFile
    from sparkctl.world.local.copying.shell import CopyShell


class FilesOfModels(Protocol):
    """The part of Copies that a disk does, as ``world.host.Copies`` says it."""

    def files(self, folder: Path) -> list[StoredFile]:
        """Return the files of a model, and the notes of its download."""

    def sizes(self, paths: Sequence[Path]) -> list[int | None]:
        """Return the bytes of each file, None where there is none."""

    def begin(self, path: Path) -> int:
        """Make the folders above a file, and return how many bytes of it are there."""

    def finish(self, partial: Path, path: Path, changed_ns: int) -> None:
        """Give a file that is whole its name."""

    def link(self, path: Path, text: str) -> None:
        """Make a symbolic link."""

    def remove(self, path: Path) -> None:
        """Remove a file or a link."""


class HostCopies:
    """The Copies port: of this host, or of another one whose disk is asked and whose programs are started by ssh."""

    def __init__(self, disk: FilesOfModels, shell: CopyShell) -> None:
        self._disk = disk
        self._shell = shell

    def files(self, folder: Path) -> list[StoredFile]:
        """Return the files of a model that a server may read, and the notes of its download, by name."""
        return self._disk.files(folder)

    def sizes(self, paths: Sequence[Path]) -> list[int | None]:
        """Return the bytes of each file, None where there is no regular file."""
        return self._disk.sizes(paths)

    def begin(self, path: Path) -> int:
        """Make the folders above a file, and return how many bytes of it are there already."""
        return self._disk.begin(path)

    def finish(self, partial: Path, path: Path, changed_ns: int) -> None:
        """Write a file's bytes to the disk, and give it its name and its time."""
        self._disk.finish(partial, path, changed_ns)

    def link(self, path: Path, text: str) -> None:
        """Make a symbolic link, in place of a link or a file that has its name."""
        self._disk.link(path, text)

    def remove(self, path: Path) -> None:
        """Remove a file or a link; one that is not there is no error."""
        self._disk.remove(path)

    def reading(self, path: Path, offset: int) -> AbstractContextManager[IO[bytes]]:
        """Open a file's bytes from ``offset`` on."""
        return self._shell.reading(path, offset)

    def writing(self, path: Path) -> AbstractContextManager[IO[bytes]]:
        """Open the end of a file."""
        return self._shell.writing(path)

    def push_problem(self, to: str) -> str | None:
        """Return why rsync of this host does not get to another one; None: it does."""
        return self._shell.push_problem(to)

    def push(self, path: Path, to: str, partial: Path, moment: Callable[[], None]) -> None:
        """Copy a file to another host by rsync, going on where it was."""
        self._shell.push(path, to, partial, moment)
