"""The folder of a community mod: a ``run.sh`` and what it needs, read from this disk and packed for a container."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.base.units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT: Final = "run.sh"
MOST_FILES: Final = 5000
MOST_BYTES: Final = 256 * MIB
"""Bounds of a folder: published ones have at most some hundred files and a few MiB."""


@dataclass(frozen=True, slots=True)
class Packed:
    """One file, folder or link of the mod: ``path`` is relative to its folder; ``link`` is where a link leads."""

    path: str
    mode: int
    content: bytes | None = None
    link: str = ""


@dataclass(frozen=True, slots=True)
class ScriptedMod:
    """A community mod as read: its folder's name, its parts, and what is worth telling about it."""

    name: str
    parts: tuple[Packed, ...]
    notes: tuple[str, ...] = ()

    @property
    def script(self) -> bytes:
        """The bytes of run.sh."""
        return next(part.content or b"" for part in self.parts if part.path == SCRIPT)

    @property
    def interpreter(self) -> str:
        """What the first line of run.sh names, '' where it names nothing."""
        first = self.script.split(b"\n", 1)[0]
        return first[2:].decode(errors="replace").strip() if first.startswith(b"#!") else ""


def read_folder(folder: Path) -> ScriptedMod:
    """Return a community mod.

    Raises:
        InputError: no folder, no run.sh, Windows line ends in it, a link that leaves the folder, a device, or too
            much of it.
    """
    real = _folder(folder)
    parts = tuple(_walk(real))
    script = next((part for part in parts if part.path == SCRIPT), None)
    if script is None:
        message = f"{folder} has no {SCRIPT}: it is no community mod"
        raise InputError(message, hint="name the folder that holds run.sh, such as mods/NAME of a checkout")
    if script.content is None:
        raise InputError(f"{folder / SCRIPT} is no regular file")
    if not script.content.strip():
        raise InputError(f"{folder / SCRIPT} is empty")
    if b"\r\n" in script.content:
        message = f"{folder / SCRIPT} has Windows line ends (CRLF), with which no shell runs it"
        raise InputError(message, hint=f"sed -i 's/\\r$//' {folder / SCRIPT}")
    notes = [] if script.mode & 0o111 else [f"{SCRIPT} is not executable; it is run all the same"]
    return ScriptedMod(real.name, parts, tuple(notes))


def pack(mod: ScriptedMod, target: str) -> bytes:
    """Return a tar archive that puts the mod's parts into ``target``, an absolute path; run.sh is executable in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for part in mod.parts:
            member = tarfile.TarInfo(f"{target.strip('/')}/{part.path}")
            member.mode = part.mode | 0o111 if part.path == SCRIPT else part.mode
            if part.link:
                member.type, member.linkname = tarfile.SYMTYPE, part.link
            elif part.content is None:
                member.type = tarfile.DIRTYPE
            member.size = len(part.content or b"")
            archive.addfile(member, io.BytesIO(part.content or b""))
    return buffer.getvalue()


def _folder(folder: Path) -> Path:
    try:
        real = folder.resolve(strict=True)
    except (OSError, RuntimeError):
        raise InputError(f"there is no folder {folder}") from None
    if not real.is_dir():
        raise InputError(f"{folder} is no folder", hint="name the folder that holds run.sh")
    return real


def _walk(root: Path) -> Iterator[Packed]:
    """Yield the parts in the order of their paths.

    Raises:
        InputError: a part that cannot be copied, or too much in all.
    """
    count, size = 0, 0
    for where, folders, files in os.walk(root, onerror=_unreadable):
        folders.sort()
        for path in (Path(where) / name for name in sorted([*folders, *files])):
            part = _part(root, path)
            count, size = count + 1, size + len(part.content or b"")
            if count > MOST_FILES or size > MOST_BYTES:
                message = f"{root} has more than {MOST_FILES} files or {MOST_BYTES // MIB} MiB: it is no mod's folder"
                raise InputError(message, hint="name the folder that holds run.sh and what it needs, nothing more")
            yield part


def _part(root: Path, path: Path) -> Packed:
    name = path.relative_to(root).as_posix()
    try:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            return Packed(name, 0o777, link=_inner_link(root, path))
        if stat.S_ISDIR(found.st_mode):
            return Packed(name, stat.S_IMODE(found.st_mode))
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{path} is a device, a pipe or a socket: it cannot be copied into a container")
        if found.st_size > MOST_BYTES:
            raise InputError(f"{path} is larger than {MOST_BYTES // MIB} MiB")
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return Packed(name, stat.S_IMODE(found.st_mode), file.read(MOST_BYTES))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def _inner_link(root: Path, path: Path) -> str:
    """Return a link's target, which must be in the folder: outside, it would be another file in the container."""
    link = path.readlink()
    inner = Path(os.path.normpath(path.parent / link))
    if link.is_absolute() or root not in [inner, *inner.parents]:
        message = f"{path} is a link that leaves its folder: {link}"
        raise InputError(message, hint="copy the file there in its place")
    return str(link)


def _unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename} cannot be read: {error.strerror}")
