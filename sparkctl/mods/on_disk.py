"""The files of mods on this host: read, compared with their checksums, and staged.

The bytes that are hashed are the bytes that are staged.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError, ModError
from sparkctl.mods.checksum import UNPINNED, md5_of
from sparkctl.mods.placed import NOWHERE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.mods.placed import MountedMod
    from sparkctl.world.ports import Files

LARGEST_BYTES: Final = 64 * 1024**2
"""vLLM's Python files have at most a few hundred KiB; a larger file is something else."""


class FileState(StrEnum):
    """The state of a mod's file at one place."""

    OK = "ok"
    CHANGED = "changed"
    MISSING = "missing"
    SHADOWED = "shadowed"
    UNPINNED = "unpinned"
    UNKNOWN = "unknown"
    NOT_COMPARED = "not compared"
    NOT_RUNNING = "not running"
    OUTSIDE = "not sparkctl's"


@dataclass(frozen=True, slots=True)
class Checked:
    """A source that was checked: its bytes if they match the manifest, else what is wrong and the fix."""

    state: FileState
    content: bytes = b""
    why: str = ""
    fix: str | None = None


def behind_links(path: Path) -> Path:
    """Return the file that a path leads to, or the path itself if it leads to no file.

    For a file that an operator names outright: a snapshot of the Hugging Face cache is nothing but links.
    """
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError):
        return path


def read_source(path: Path) -> bytes:
    """Return the bytes of a mod's file.

    Raises:
        InputError: missing, no regular file, a link that leaves its folder, too large, or unreadable; in words.
    """
    try:
        real = path.resolve(strict=True)
        if path.is_symlink() and not _stays(path.parent.resolve(), real):
            raise InputError(f"is a link that leaves its folder: {real}")
        # Non-blocking: a pipe without a writer would hold us for ever. The file that was opened is judged.
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            found = os.fstat(descriptor)
            if stat.S_ISDIR(found.st_mode):
                raise InputError("is a folder")
            if not stat.S_ISREG(found.st_mode):
                raise InputError("is no regular file")
            if found.st_size > LARGEST_BYTES:
                raise InputError(f"is larger than {LARGEST_BYTES // 1024**2} MiB")
            return file.readall()
    except FileNotFoundError:
        raise InputError("is not there") from None
    except IsADirectoryError:
        raise InputError("is a folder") from None
    except (OSError, RuntimeError) as error:
        # RuntimeError: a link that leads to itself.
        raise InputError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _stays(folder: Path, real: Path) -> bool:
    """Return whether a link in a folder stays inside. A Hugging Face snapshot is links into its cache's blobs."""
    blobs = folder.parent.parent / "blobs" if folder.parent.name == "snapshots" else folder
    return folder in real.parents or blobs in real.parents


def check_source(mod: MountedMod, files: Files | None = None) -> Checked:
    """Return the state of the source, compared with the manifest or the operator's pin.

    ``files`` are those of the host that mounts the file, if that may be another host.
    """
    look = f"look at your copy of the file, then: sparkctl mods pin {mod.mod} --file FILE"
    if mod.source == NOWHERE:
        return Checked(FileState.NOT_COMPARED)
    if mod.md5 == UNPINNED:
        why = f"mod {mod.mod}: {mod.name} is unpinned: no checksum of it is known to sparkctl"
        return Checked(FileState.UNPINNED, why=why, fix=f"sparkctl mods lock {mod.mod}" if mod.fetch else look)
    if mod.waits:
        why = f"mod {mod.mod}: {mod.name} has not been fetched from {mod.elsewhere}"
        return Checked(FileState.MISSING, why=why, fix=f"sparkctl mods fetch {mod.mod}")
    if mod.original is None:
        why = f"mod {mod.mod}: {mod.name} comes from the checkpoint, which is not on this host"
        return Checked(FileState.UNKNOWN, why=why, fix="download the model first")
    where = f"mod {mod.mod}: {mod.original}"
    try:
        content = _read_there(files, mod.original) if mod.on_host and files is not None else read_source(mod.original)
    except InputError as error:
        return Checked(FileState.MISSING, why=f"{where} {error.message}", fix=f"restore it, or {look}")
    return _compared(mod, content, where)


def _compared(mod: MountedMod, content: bytes, where: str) -> Checked:
    found, sha256 = md5_of(content), hashlib.sha256(content).hexdigest()
    if found == mod.md5 and mod.sha256 in {None, sha256}:
        return Checked(FileState.OK, content)
    why = f"{where}: expected md5 {mod.md5}, found {found}"
    if found == mod.md5:
        why = f"{where}: the md5 is as expected, but expected sha256 {mod.sha256}, found {sha256}"
    elif _matches_with_other_ends(content, mod.md5):
        why += "; with other line ends it would match"
    fix = f"restore it, or accept it: sparkctl mods pin {mod.mod}"
    return Checked(
        FileState.CHANGED, why=why, fix=f"sparkctl mods fetch {mod.mod}" if mod.original == mod.kept else fix
    )


def _read_there(files: Files, path: Path) -> bytes:
    content = files.content(path)
    if content is None:
        raise InputError("is not there, or cannot be read")
    return content


def verified(mod: MountedMod, files: Files | None = None) -> bytes:
    """Return the bytes of a mod's source after checking them against the manifest; ``files`` as for ``check_source``.

    Raises:
        ModError: unpinned, missing, or another file.
    """
    checked = check_source(mod, files)
    if checked.state is not FileState.OK:
        raise ModError(checked.why, hint=checked.fix)
    return checked.content


def _matches_with_other_ends(content: bytes, md5: str) -> bool:
    unix = content.replace(b"\r\n", b"\n")
    return md5 in {md5_of(unix), md5_of(unix.replace(b"\n", b"\r\n"))}


def check_sources(mods: Sequence[MountedMod], files: Files | None = None) -> None:
    """Check the source of each file; ``files`` as for ``check_source``.

    Raises:
        ModError: one is unpinned, missing, or another file.
    """
    for mod in mods:
        verified(mod, files)


def stage(files: Files, mods: Sequence[MountedMod]) -> None:
    """Make the copies that containers mount, from exactly the bytes that were verified. A good copy is kept.

    Raises:
        ModError: a source is not what it has to be.
        InputError: the copy cannot be written.
    """
    for mod in mods:
        content = verified(mod, files)
        # The port is asked, because the files may be another host's: the same path here says nothing of it.
        if mod.source.is_symlink() or files.content(mod.source) != content:
            files.write(mod.source, content, mode=0o444)
