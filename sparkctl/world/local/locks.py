"""One lock per engine, an flock on a file that all users of the host share."""

from __future__ import annotations

import fcntl
import getpass
import os
import re
import shlex
import stat
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.base.errors import EngineError
from sparkctl.world.local import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
        path = self._folder / f"sparkctl-{re.sub(r'[^A-Za-z0-9]+', '-', engine_id)[:64]}.lock"
        descriptor = _open(path)
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
