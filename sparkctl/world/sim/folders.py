"""A simulated container on disk: its record, its run, its exit, its log, and whether it runs.

``spec.json``   what was created (0600: it holds the environment)
``run.json``    the last start: pid, time, addresses, where its log begins
``exit.json``   the last exit, or why the last start was refused; absent when the process was killed
``holds.json``  the memory that the process takes now
``alive``       locked by the process for as long as it lives
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from contextlib import contextmanager
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from sparkctl.base import regular_file
from sparkctl.base.bounded import BOUNDS, read_json
from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.units import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

_MOST_TEXT: Final = 64 * MIB
"""How many bytes of a log are read, from its end, as for a real engine's."""
_STEP_S: Final = 0.02
_KILL_S: Final = 5.0
KILLED: Final = 137
REFUSED: Final = 128
"""docker's exit code for a container that had ended with 0 and whose next start was refused."""


class Record(NamedTuple):
    """What was created.

    ``mounts`` are (source, target, read_only), and ``sources`` those that have to exist at a start. ``ports`` are
    (container port, host port or 0, address on the host or ""). ``settings`` are docker run's own options, None in a
    record of a simulator that kept none. ``order`` is the whole order as JSON ("" in such a record).
    """

    id: str
    name: str
    image: str
    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    labels: tuple[tuple[str, str], ...]
    mounts: tuple[tuple[str, str, bool], ...]
    sources: tuple[str, ...]
    ports: tuple[tuple[int, int, str], ...]
    network: str
    settings: tuple[tuple[str, str], ...] | None = None
    order: str = ""


class Run(NamedTuple):
    """The last start.

    ``listens`` are the addresses and ports that it has on the host; ``log_from`` is the length of the log at that
    time, in bytes.
    """

    pid: int
    started_at: float
    listens: tuple[tuple[str, int], ...]
    log_from: int


class Holds(NamedTuple):
    """The memory that a process takes, in bytes."""

    gpu: int
    host: int


class Exit(NamedTuple):
    """The last exit. ``error`` is what the engine says about it."""

    code: int
    finished_at: float
    error: str = ""


class ContainerFolder:
    """One container's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def log(self) -> Path:
        """The log of all its starts."""
        return self.path / "log"

    def record(self) -> Record | None:
        """Return what was created, or None when the container is gone."""
        return self._read("spec.json", Record)

    def write_record(self, record: Record) -> None:
        """Replace what was created."""
        self._write("spec.json", record._asdict())

    def rename(self, name: str) -> None:
        """Give the container another name."""
        record = self.record()
        if record is not None:
            self.write_record(record._replace(name=name))

    def run(self) -> Run | None:
        """Return the last start, or None: never started."""
        return self._read("run.json", Run)

    def begin(self, run: Run) -> None:
        """Record a start; what the last one left is no longer true."""
        for stale in ("exit.json", "holds.json"):
            (self.path / stale).unlink(missing_ok=True)
        self._write("run.json", run._asdict())

    def exit(self) -> Exit:
        """Return the last exit; a process that could not record its own was killed.

        It comes after the start: a clock can be set back, and ``alive`` is older than the record of the start.
        """
        found, run, alive = self._read("exit.json", Exit), self.run(), self.path / "alive"
        if found is None:
            found = Exit(KILLED, alive.stat().st_mtime if alive.exists() else 0.0)
        return found if run is None else found._replace(finished_at=max(found.finished_at, run.started_at))

    def end(self, end: Exit) -> None:
        """Record an exit."""
        self._write("exit.json", end._asdict())

    def refuse(self, error: str) -> None:
        """Record why a start was refused: the container stays as it was created or had ended."""
        last = self.exit()
        self.end(last._replace(code=last.code or REFUSED, error=error))

    def holds(self) -> Holds:
        """Return what the process said it takes."""
        return self._read("holds.json", Holds) or Holds(0, 0)

    def write_holds(self, holds: Holds) -> None:
        """Record what the process takes now."""
        self._write("holds.json", holds._asdict())

    def lock_alive(self) -> int:
        """Take the lock that says the container runs, and return its descriptor, to be kept open."""
        descriptor = os.open(self.path / "alive", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor

    def runs(self) -> bool:
        """Return whether the container's process lives."""
        try:
            descriptor = os.open(self.path / "alive", os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _read(self, name: str, kind: type[T]) -> T | None:
        path = self.path / name
        for _ in range(2):  # another process may write it anew after a reading that did not find it
            try:
                return _record(kind, read_json(regular_file.read_bytes(path, BOUNDS.size)))
            except (InputError, _OtherRecordError):
                if not os.path.lexists(path):
                    return None  # another process has removed it
        message = f"the simulated Spark's file {path} is damaged, or another sparkctl's"
        raise EngineError(message, hint=f"rm -r {self.path} removes that simulated container")

    def _write(self, name: str, value: object) -> None:
        temporary = self.path / f".{name}.{os.getpid()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(value, file)
        temporary.replace(self.path / name)


class _OtherRecordError(Exception):
    """A value does not belong to the record."""


_types: Final[Callable[[object], dict[str, Any]]] = cache(get_type_hints)


def _record(kind: type[T], value: object) -> T:
    """Return a record as JSON has it; keys that it does not know are left out.

    It is read without pydantic: a simulated container is a process of its own, and half of its start was that import.

    Raises:
        _OtherRecordError: a value is missing, or of another type.
    """
    if not isinstance(value, dict):
        raise _OtherRecordError
    given = {name: _typed(type_, value[name]) for name, type_ in _types(kind).items() if name in value}
    try:
        return kind(**given)
    except TypeError:
        raise _OtherRecordError from None


def _typed(kind: Any, value: object) -> object:  # noqa: ANN401  (a type as it is annotated)
    """Return a value of JSON as a type that is a simple one, a tuple, or one of several."""
    if isinstance(kind, UnionType):
        (some,) = (one for one in get_args(kind) if one is not type(None))
        return None if value is None else _typed(some, value)
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise _OtherRecordError
        inner = get_args(kind)
        inner = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        if len(inner) != len(value):
            raise _OtherRecordError
        return tuple(_typed(one, part) for one, part in zip(inner, value, strict=True))
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise _OtherRecordError
    return value


def text_of(path: Path, most: int = _MOST_TEXT) -> str | None:
    """Return the last ``most`` bytes of a file as text, None where there is no regular file that can be read."""
    if not regular_file.is_there(path):
        return None
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
            return file.read(most).decode(errors="replace")
    except OSError:
        return None


def containers(sim: Path) -> list[ContainerFolder]:
    """Return the folders of every container of a simulated Spark, oldest first."""
    root = sim / "containers"
    if not regular_file.is_folder(root):
        return []
    try:
        names = sorted(root.iterdir())
    except OSError as error:
        raise EngineError(f"cannot read the simulated Spark's folder {root}: {error.strerror}") from None
    return [ContainerFolder(path) for path in names if not path.name.startswith(".")]


@contextmanager
def locked(sim: Path, name: str) -> Iterator[None]:
    """Hold one of the simulated Spark's own locks."""
    descriptor = os.open(sim / name, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def signalled(folder: ContainerFolder, number: signal.Signals, wait_s: float) -> bool:
    """Send a signal to a container's process and return whether it ended within ``wait_s`` seconds."""
    run = folder.run()
    if run is None or not folder.runs():
        return True
    try:
        os.kill(run.pid, number)
    except ProcessLookupError:
        return True
    end = time.monotonic() + wait_s
    while folder.runs():
        if time.monotonic() > end:
            return False
        time.sleep(_STEP_S)
    return True


def kill(folder: ContainerFolder) -> None:
    """End a container's process at once.

    Raises:
        EngineError: it did not end.
    """
    if not signalled(folder, signal.SIGKILL, _KILL_S):
        raise EngineError(f"the process of the container {folder.path.name} did not end when it was killed")
