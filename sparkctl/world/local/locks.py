"""One lock per engine, an flock on a file that all who reach the engine share."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import re
import struct
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import EngineError
from sparkctl.world.local import lock_file, processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_FLOCK: Final = "hhqqi"
"""struct flock of 64-bit Linux: type, whence, start, length, process (0 for a lock of an open file)."""
LONGEST_S: Final = 600.0
_POLL_S: Final = 0.05
_NAMES: Final = 1000
"""How many names the lock of an engine may have: in a folder for all, anybody may have put something in its place."""
_PROGRAMS: Final = {"sparkctl", "__main__.py"}
_TAKE_A_VALUE: Final = {"--engine", "--recipes", "--profile", "--host"}
_A_COMMAND: Final = re.compile(r"[a-z-]+")


def shared_folder() -> Path:
    """Return the folder that every user of this host can make a lock in: /run/lock, else the temporary folder."""
    lock = Path("/run/lock")
    return lock if lock.is_dir() and os.access(lock, os.W_OK) else Path(tempfile.gettempdir())


def whoami() -> str:
    """Return the holder of a lock, for those who wait: user, process, and the command without its arguments.

    Every user of the host can read it.
    """
    return f"{_user()}, process {os.getpid()}: {' '.join(['sparkctl', *_command(sys.argv)])}"


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def _command(arguments: Sequence[str]) -> list[str]:
    """Return the name of the command in sparkctl's own arguments; a program that uses the API has none."""
    if Path(arguments[0]).name not in _PROGRAMS:
        return []
    words = iter(arguments[1:])
    for word in words:
        if word in _TAKE_A_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            return [word] if _A_COMMAND.fullmatch(word) else []
    return []


class FileLocks:
    """Locks in ``folder``. The kernel lets go of a lock when its holder dies, so a killed sparkctl leaves none.

    ``door`` is what leads to the engine on this host, its socket or a simulated Spark's folder: who may write to it,
    and nobody else, can open the locks. Without one every user of the host can.
    ``longest_s`` is how long this waits for a holder, in seconds: a command holds the lock for as long as it stops and
    creates containers, and whoever holds it for longer hangs, or means it.
    """

    def __init__(self, folder: Path, who: str, *, door: Path | None = None, longest_s: float = LONGEST_S) -> None:
        self._folder = folder
        self._access = lock_file.access(door)
        self._who = who
        self._longest_s = longest_s

    @property
    def me(self) -> str:
        """The process that runs, for the labels of what it makes."""
        return processes.me()

    def lives(self, process: str) -> bool | None:
        """Return whether a process still runs; None if that cannot be known from here."""
        return processes.lives(process)

    @contextmanager
    def hold(self, engine_id: str, *, waiting: Callable[[str], None], longest_s: float | None = None) -> Iterator[None]:
        """Hold the engine's lock; ``waiting`` is told, once, who holds it while this waits, for ``longest_s``.

        Raises:
            EngineError: the lock file cannot be opened, or somebody holds it for longer than any command does.
        """
        path, descriptor = self._open(engine_id)
        try:
            if not _taken(descriptor):
                waiting(_holder(descriptor))
                self._wait(path, descriptor, self._longest_s if longest_s is None else longest_s)
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
        _, descriptor = self._open(engine_id)
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
        path = next((path for path in self._paths(engine_id) if lock_file.is_one(path, self._access)), None)
        if path is None:
            return False  # no command has ever held it here
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _byte_of(service))
            return bool(struct.unpack(_FLOCK, found)[0] != fcntl.F_UNLCK)
        finally:
            os.close(descriptor)

    def _wait(self, path: Path, descriptor: int, longest_s: float) -> None:
        until = time.monotonic() + longest_s
        while not _taken(descriptor):
            if time.monotonic() > until:
                message = f"the lock {path} has been held for {longest_s:g} s, by {_holder(descriptor)}"
                hint = f"who it is: fuser -v {path}; end that process, or remove the file, as root or as its owner"
                raise EngineError(message, hint=hint)
            time.sleep(_POLL_S)

    def _open(self, engine_id: str) -> tuple[Path, int]:
        """Open the engine's lock file, which all who reach it share; other things in its place are skipped."""
        try:
            for path in self._paths(engine_id):
                if not os.path.lexists(path):
                    lock_file.make(path, self._access)
                if lock_file.is_one(path, self._access):
                    return path, os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            message = f"cannot open the lock file {path}: {error.strerror}"
            raise EngineError(message, hint="mend the mode of its folder, or of the file") from None
        message = (
            f"cannot open the lock file {path}: it and {_NAMES - 1} more are none that only the engine's users open"
        )
        raise EngineError(message, hint="remove what somebody has put there")

    def _paths(self, engine_id: str) -> Iterator[Path]:
        """Yield the names that the lock may have, in the order in which every user tries them."""
        name = f"sparkctl-{re.sub(r'[^A-Za-z0-9]+', '-', engine_id)[:64]}"
        yield self._folder / f"{name}.lock"
        yield from (self._folder / f"{name}.{number}.lock" for number in range(1, _NAMES))


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
