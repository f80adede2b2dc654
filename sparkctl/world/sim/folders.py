"""A simulated container on disk: its record, its run, its exit, its log, and whether it runs.

``spec.json``   what was created (0600: it holds the environment)
``run.json``    the last start: pid, time, port, where its log begins
``exit.json``   the last exit; absent when the process was killed
``holds.json``  the memory that the process takes now
``alive``       locked by the process for as long as it lives
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KILLED: Final = 137


@dataclass(frozen=True, slots=True)
class Record:
    """What was created. ``mounts`` are (source, target, read_only); ``ports`` are (container port, host port or 0)."""

    id: str
    name: str
    image: str
    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    labels: tuple[tuple[str, str], ...]
    mounts: tuple[tuple[str, str, bool], ...]
    ports: tuple[tuple[int, int], ...]
    network: str


@dataclass(frozen=True, slots=True)
class Run:
    """The last start. ``port`` is the one on the host; ``log_from`` the length of the log at that time, in bytes."""

    pid: int
    started_at: float
    port: int
    log_from: int


@dataclass(frozen=True, slots=True)
class Exit:
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
        found = self._read("spec.json")
        if found is None:
            return None
        pairs = {name: tuple(tuple(item) for item in found[name]) for name in ("env", "labels", "mounts", "ports")}
        return Record(**(found | pairs | {"command": tuple(found["command"])}))

    def write_record(self, record: Record) -> None:
        """Replace what was created."""
        self._write("spec.json", asdict(record))

    def rename(self, name: str) -> None:
        """Give the container another name."""
        record = self.record()
        if record is not None:
            self.write_record(replace(record, name=name))

    def run(self) -> Run | None:
        """Return the last start, or None: never started."""
        found = self._read("run.json")
        return None if found is None else Run(**found)

    def begin(self, run: Run) -> None:
        """Record a start; what the last one left is no longer true."""
        for stale in ("exit.json", "holds.json"):
            (self.path / stale).unlink(missing_ok=True)
        self._write("run.json", asdict(run))

    def exit(self) -> Exit:
        """Return the last exit; a process that could not record its own was killed."""
        found = self._read("exit.json")
        if found is not None:
            return Exit(**found)
        alive = self.path / "alive"
        return Exit(KILLED, alive.stat().st_mtime if alive.exists() else 0.0)

    def end(self, end: Exit) -> None:
        """Record an exit."""
        self._write("exit.json", asdict(end))

    def holds(self) -> tuple[int, int]:
        """Return the GPU and the host bytes that the process said it takes."""
        found = self._read("holds.json") or {"gpu": 0, "host": 0}
        return found["gpu"], found["host"]

    def write_holds(self, gpu: int, host: int) -> None:
        """Record what the process takes now."""
        self._write("holds.json", {"gpu": gpu, "host": host})

    def lock_alive(self) -> int:
        """Take the lock that says the container runs, and return its descriptor, to be kept open."""
        descriptor = os.open(self.path / "alive", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor

    def runs(self) -> bool:
        """Return whether the container's process lives."""
        try:
            descriptor = os.open(self.path / "alive", os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            text = (self.path / name).read_text()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return dict(json.loads(text))

    def _write(self, name: str, value: object) -> None:
        temporary = self.path / f".{name}.{os.getpid()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(value, file)
        temporary.replace(self.path / name)


def containers(sim: Path) -> list[ContainerFolder]:
    """Return the folders of every container of a simulated Spark, oldest first."""
    root = sim / "containers"
    if not root.is_dir():
        return []
    return [ContainerFolder(path) for path in sorted(root.iterdir()) if not path.name.startswith(".")]


@contextmanager
def locked(sim: Path, name: str) -> Iterator[None]:
    """Hold one of the simulated Spark's own locks."""
    descriptor = os.open(sim / name, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
