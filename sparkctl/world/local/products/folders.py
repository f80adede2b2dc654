"""Folders that jobs write: made, listed, handed over, named, removed. Their contents come from a stranger.

A job's script may have put anything there: links, pipes, folders that nobody may enter. No link is followed, and no
folder is removed that does not have the name of an unfinished product.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.world.local.products import removing, renaming
from sparkctl.world.partial_folder import is_partial
from sparkctl.world.ports import ProductFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILE_MODE: Final = 0o644
FOLDER_MODE: Final = 0o755
"""Everybody may read a model: safetensors 0.8.0 writes files for their owner only, and a container is another user."""
_OWN: Final = 0o700
_PIECE: Final = 8 * 1024 * 1024
MOST_DEPTH: Final = 16
"""How many folders deep a product is looked into: a choice; a model has one or two."""
_HINT: Final = "free some space or mend the folder's owner, and try again"
_ELSEWHERE: Final = "name another folder: --set output=FOLDER"
_OF_THE_PATH: Final = {errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS}
"""Errors of the system for a path at which a folder can never be made."""


class DiskProducts:
    """The file system."""

    @property
    def me(self) -> tuple[int, int]:
        """The user that this process is."""
        return os.geteuid(), os.getegid()

    def lies_there(self, path: Path) -> str:
        """Return what lies at a path, links not followed: a folder, a file, a link, something else; "": nothing.

        Raises:
            InputError: it cannot be looked at.
        """
        with _asked(f"look at {path}"):
            try:
                kind = path.lstat().st_mode
            except FileNotFoundError:
                return ""
        names = {stat.S_IFDIR: "a folder", stat.S_IFREG: "a file", stat.S_IFLNK: "a link"}
        return names.get(stat.S_IFMT(kind), "something else")

    def make(self, path: Path, user: tuple[int, int]) -> None:
        """Make an empty folder for a user alone, and the folders above it; it is an error where something is there.

        Raises:
            InputError: as said, no permission, or the disk is full.
        """
        with _asked(f"make the folder {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=_OWN)
            if user != self.me:
                os.chown(path, *user, follow_symlinks=False)

    def files(self, folder: Path) -> list[ProductFile]:
        """Return the contents of a folder and its subfolders, by name; [] if it is missing."""
        return sorted(_below(folder))

    def rename(self, folder: Path, old: str, new: str) -> None:
        """Give a file of a folder another name there, in the place of what has it; without that file nothing is done.

        Raises:
            InputError: what is under the old name is no regular file, or a folder has the new one.
        """
        lies = self.lies_there(folder / old)
        if lies and lies != "a file":
            raise InputError(f"expected a file at {folder / old}, found {lies}")
        if lies:
            with _asked(f"rename {folder / old}"):
                (folder / old).replace(folder / new)

    def sha256(self, path: Path, came: Callable[[int], None]) -> str:
        """Return the checksum of a regular file; ``came`` is told how many more bytes were read, piece by piece.

        Raises:
            InputError: it cannot be read, or is a link.
        """
        digest = hashlib.sha256()
        with _asked(f"read {path}"):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
                    came(len(piece))
        return digest.hexdigest()

    def hand_over(self, folder: Path, user: tuple[int, int]) -> None:
        """Give all that is in a folder to a user: files to be read by everybody (0644), folders too (0755).

        Raises:
            InputError: no permission.
        """
        with _asked(f"hand over {folder}"):
            for path, is_folder in _tree(folder):
                if user != (path.lstat().st_uid, path.lstat().st_gid):
                    os.chown(path, *user, follow_symlinks=False)
                path.chmod(FOLDER_MODE if is_folder else FILE_MODE)

    def publish(self, partial: Path, output: Path) -> None:
        """Write all of a folder to the disk and give it its name, which nothing may have; safe against a power cut.

        Raises:
            InputError: something has the name already, or the disk refuses; then the folder keeps its own.
        """
        with _asked(f"write {partial} to the disk"):
            for path, _ in _tree(partial):
                _sync(path)
        try:
            renaming.without_replacing(partial, output, renaming.system_call())
        except FileExistsError:
            message = f"{output} appeared while the job ran; what was made is whole, in {partial}"
            raise InputError(
                message, hint="move the other one away, and run the job again: it gives it its name"
            ) from None
        except OSError as error:
            message = f"cannot give {partial} the name {output}: {error.strerror}"
            raise InputError(message, hint=_HINT) from None
        with suppress(OSError):  # it has its name; some file systems sync no folders
            _sync(output.parent)

    def remove(self, partial: Path) -> None:
        """Remove the folder of an unfinished product and all in it; none is no error.

        Raises:
            InputError: its name is not one of an unfinished product, it is no folder, or it cannot be removed.
        """
        lies = self.lies_there(partial)
        if lies not in {"", "a folder"} or not is_partial(partial):
            raise InputError(f"{partial} is not removed: expected the folder of an unfinished product, found {lies}")
        if lies:
            with _asked(f"remove {partial}"):
                removing.remove(partial)

    def partials(self, output: Path) -> list[Path]:
        """Return the unfinished products that lie beside an output, by name; [] where they cannot be listed."""
        found = []
        with suppress(OSError), os.scandir(output.parent) as entries:
            for entry in entries:
                path = output.parent / entry.name
                ours = entry.name.startswith(f"{output.name}.partial-") and is_partial(path)
                if ours and entry.is_dir(follow_symlinks=False):
                    found.append(path)
        return sorted(found)

    def unreadable(self, folder: Path, user: tuple[int, int]) -> list[Path]:
        """Return what a user without further groups could not read of a folder, links followed."""
        found: list[Path] = []
        for place, folders, files in os.walk(folder, followlinks=False):
            paths = [Path(place), *(Path(place) / name for name in files)]
            found += [path for path in paths if not _may_read(path, user)]
            folders[:] = [name for name in folders if not name.startswith(".")]
        return sorted(found)


@contextmanager
def _asked(doing: str) -> Iterator[None]:
    """Turn what the system refuses into words."""
    try:
        yield
    except FileExistsError as error:
        message = f"cannot {doing}: {error.filename or 'something'} is there already"
        raise InputError(message, hint="move it away, or name another folder") from None
    except PermissionError as error:
        hint = "name a folder that is yours, or have its owner give you the right to it"
        raise InputError(f"cannot {doing}: {error.strerror or error}", hint=hint) from None
    except OSError as error:
        hint = _ELSEWHERE if error.errno in _OF_THE_PATH else _HINT
        raise InputError(f"cannot {doing}: {error.strerror or error}", hint=hint) from None
    except ValueError as error:  # a NUL character, or half a surrogate pair
        raise InputError(f"cannot {doing}: this can be no path ({error})") from None


def _below(root: Path) -> Iterator[ProductFile]:
    """Yield what lies below a folder; what vanishes or cannot be looked into meanwhile is passed over."""
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
    waiting = [(root, 1)]
    while waiting:
        folder, depth = waiting.pop()
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                with suppress(OSError):
                    path, seen = Path(entry.path), entry.stat(follow_symlinks=False)
                    kind = kinds.get(stat.S_IFMT(seen.st_mode), "other")
                    if kind == "folder":
                        kind = (
                            "deep"
                            if depth >= MOST_DEPTH
                            else "folder"
                            if os.access(path, os.R_OK | os.X_OK)
                            else "closed"
                        )
                    yield ProductFile(str(path.relative_to(root)), kind, seen.st_size if kind == "file" else 0)
                    if kind == "folder":
                        waiting.append((path, depth + 1))


def _tree(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield the files and folders of a folder, what is in a folder before that itself, and whether it is a folder."""
    for place, folders, files in os.walk(folder, topdown=False, followlinks=False, onerror=_raise):
        for name in files:
            path = Path(place) / name
            if stat.S_ISREG(path.lstat().st_mode):
                yield path, False
        del folders
        yield Path(place), True


def _raise(error: OSError) -> None:
    raise error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _may_read(path: Path, user: tuple[int, int]) -> bool:
    """Return whether the mode of what a path leads to lets a user read it; a folder has to be entered, too."""
    try:
        seen = path.stat()
    except OSError:
        return False
    needed = 0o5 if stat.S_ISDIR(seen.st_mode) else 0o4
    if user[0] == 0:
        return True
    shift = 6 if seen.st_uid == user[0] else 3 if seen.st_gid == user[1] else 0
    return seen.st_mode >> shift & needed == needed
