"""One lock per engine, an flock on a file that all users of the host share."""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import os
import re
import shlex
import stat
import struct
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import EngineError
from sparkctl.world.local import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FLOCK: Final = "hhqqi"
"""struct flock of 64-bit Linux: type, whence, start, length, process (0 for a lock of an open file)."""


def shared_folder() -> Path:
    """Return the folder that every user of this host can make a lock in: /run/lock, else the temporary folder."""
    lock = Path("/run/lock")
    return lock if lock.is_dir() and os.access(lock, os.W_OK) else Path(tempfile.gettempdir())


def whoami() -> str:
    """Return who holds a lock, for whoever waits for it: user, process and command.

    Every user of the host can read it: what is set (``--set env.NAME=VALUE``) is not in it.
    """
    words = [name + ("=…" if equals else "") for name, equals, _ in (word.partition("=") for word in sys.argv[1:])]
    return f"{getpass.getuser()}, process {os.getpid()}: {' '.join(['sparkctl', *map(_shown, words)])}"


def _shown(word: str) -> str:
    return word if word.endswith("=…") else shlex.quote(word)


class FileLocks:
    """Locks in ``folder``. The kernel lets go of a lock when its holder dies, so a killed sparkctl leaves none."""

    def __init__(self, folder: Path, who: str) -> None:
        self._folder = folder
        self._who = who

    @property
    def me(self) -> str:
        """The process that runs, for the labels of what it makes."""
        return processes.me()

    def lives(self, process: str) -> bool | None:
        """Return whether a process still runs; None where that cannot be known from here."""
        return processes.lives(process)

    @contextmanager
    def hold(self, engine_id: str, *, waiting: Callable[[str], None]) -> Iterator[None]:
        """Hold the engine's lock; ``waiting`` is told, once, who holds it while this waits.

        Raises:
            EngineError: the lock file cannot be opened.
        """
        descriptor = _open(self._path(engine_id))
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting(_holder(descriptor))
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, self._who.encode(), 0)
            yield
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    @contextmanager
    def work_on(self, engine_id: str, service: str) -> Iterator[bool]:
        """Say, until this is left, that this command works on a service; False: another one does, or this one already.

        Raises:
            EngineError: the lock file cannot be opened.
        """
        descriptor = _open(self._path(engine_id))
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _byte_of(service))
        except OSError:
            os.close(descriptor)
            yield False
            return
        try:
            yield True
        finally:
            os.close(descriptor)

    def worked_on(self, engine_id: str, service: str) -> bool:
        """Return whether a command that runs works on a service."""
        try:
            descriptor = os.open(self._path(engine_id), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return False  # no command has ever held it here
        try:
            found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _byte_of(service))
            return bool(struct.unpack(_FLOCK, found)[0] != fcntl.F_UNLCK)
        finally:
            os.close(descriptor)

    def _path(self, engine_id: str) -> Path:
        return self._folder / f"sparkctl-{re.sub(r'[^A-Za-z0-9]+', '-', engine_id)[:64]}.lock"


def _byte_of(service: str) -> bytes:
    """Return a lock on one byte of the file, which stands for a service: no service needs a file of its own.

    Linux locks bytes that a file has not; such a lock belongs to the open file and goes with it (fcntl(2), "open file
    description locks"). The first byte is left to nobody.
    """
    place = 1 + int.from_bytes(hashlib.sha256(service.encode()).digest()[:7]) // 4
    return struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0)


def _holder(descriptor: int) -> str:
    """Return who holds the lock. Anybody may have written it: nothing in it moves a terminal's cursor."""
    text = os.pread(descriptor, 4096, 0).decode(errors="replace").strip()
    return "".join(character if character.isprintable() else "?" for character in text) or "another sparkctl"


def _open(path: Path) -> int:
    """Open the lock file, shared by all users, without following a link that somebody planted in a shared folder."""
    hint = "is it owned by another user? remove it while no sparkctl runs"
    try:
        descriptor = _opened(path)
    except OSError as error:
        raise EngineError(f"cannot open the lock file {path}: {error.strerror}", hint=hint) from None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise EngineError(f"cannot open the lock file {path}: it is no regular file", hint=hint)


def _opened(path: Path) -> int:
    # Non-blocking: a pipe in its place would hold us for ever.
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        # Opened before created: with fs.protected_regular, O_CREAT on another user's file in a sticky folder fails.
        return os.open(path, flags)
    except FileNotFoundError:
        descriptor = os.open(path, flags | os.O_CREAT, 0o666)
        os.fchmod(descriptor, 0o666)  # whatever the umask is
        return descriptor
