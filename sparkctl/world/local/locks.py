"""One lock per engine, an flock on a file that all users of the host share."""

from __future__ import annotations

import fcntl
import getpass
import os
import re
import shlex
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.base.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def shared_folder() -> Path:
    """Return the folder that every user of this host can make a lock in: /run/lock, else the temporary folder."""
    lock = Path("/run/lock")
    return lock if lock.is_dir() and os.access(lock, os.W_OK) else Path(tempfile.gettempdir())


def whoami() -> str:
    """Return who holds a lock, for whoever waits for it: user, process and command."""
    return f"{getpass.getuser()}, process {os.getpid()}: {shlex.join(['sparkctl', *sys.argv[1:]])}"


class FileLocks:
    """Locks in ``folder``. The kernel lets go of a lock when its holder dies, so a killed sparkctl leaves none."""

    def __init__(self, folder: Path, who: str) -> None:
        self._folder = folder
        self._who = who

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
                waiting(os.pread(descriptor, 4096, 0).decode(errors="replace").strip() or "another sparkctl")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, self._who.encode(), 0)
            yield
        finally:
            os.close(descriptor)


def _open(path: Path) -> int:
    """Open the lock file, shared by all users, without following a link that somebody planted in a shared folder."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        try:
            # Opened before created: with fs.protected_regular, O_CREAT on another user's file in a sticky folder fails.
            return os.open(path, flags)
        except FileNotFoundError:
            descriptor = os.open(path, flags | os.O_CREAT, 0o666)
            os.fchmod(descriptor, 0o666)  # whatever the umask is
            return descriptor
    except OSError as error:
        message = f"cannot open the lock file {path}: {error.strerror}"
        raise EngineError(message, hint="is it owned by another user? remove it while no sparkctl runs") from None
