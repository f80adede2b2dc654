"""Host, Models, Files and Locks of another host: each question is answered there, by the code used for this host."""

from __future__ import annotations

import base64
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sparkctl.base.errors import EngineError
from sparkctl.world.host import (
    Activity,
    Gpu,
    GpuProcess,
    Interface,
    Link,
    MachineFacts,
    MemoryReading,
    ModelFile,
    ModelRecord,
    ProcessIdentity,
    RdmaDevice,
    StoredFile,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from sparkctl.world.remote.asks import Asks

LONGEST_S: Final = 600.0
"""How long a command may hold the lock of an engine, as ``world.local.locks`` has it."""
_DISK_S: Final = 60.0
"""How long a look at a disk may take, in seconds: a cache of models has thousands of files."""
_SYNC_S: Final = 600.0
"""How long a disk may take to write its cache, in seconds: a choice, for a shard of 50 GB on a slow one."""


class RemoteHost:
    """The Host port of another host."""

    def __init__(self, asks: Asks) -> None:
        self._ask = asks.ask

    def memory(self) -> MemoryReading:
        """Return the memory now, as its /proc/meminfo has it."""
        return MemoryReading(*self._ask("host.memory"))

    def gpus(self) -> tuple[Gpu, ...]:
        """Return the GPUs; () when there is none or no driver."""
        return tuple(Gpu(*one) for one in self._ask("host.gpus"))

    def gpu_bytes(self) -> dict[int, int]:
        """Return the GPU bytes by process id; empty when its driver has no list."""
        return {int(pid): held for pid, held in self._ask("host.gpu_bytes").items()}

    def gpu_processes(self) -> tuple[GpuProcess, ...]:
        """Return the processes that hold memory of a GPU; () when its driver has no list."""
        return tuple(GpuProcess(*one) for one in self._ask("host.gpu_processes"))

    def resident_bytes(self, pid: int) -> int | None:
        """Return the anonymous bytes of a process (resident less shared), or None when it is gone or hidden."""
        return _number(self._ask("host.resident_bytes", pid))

    def others_bytes(self, ours: Collection[int]) -> int | None:
        """Return the anonymous bytes of all processes but ``ours``."""
        return _number(self._ask("host.others_bytes", list(ours)))

    def identity(self, pid: int) -> ProcessIdentity | None:
        """Return what distinguishes a process from a later one with its number, or None if it is gone."""
        found = self._ask("host.identity", pid)
        return None if found is None else ProcessIdentity(*found)

    def activity(self, pid: int) -> Activity | None:
        """Return what a process has used so far, or None when it is gone or hidden."""
        found = self._ask("host.activity", pid)
        return None if found is None else Activity(*found)

    def port_taken(self, address: str, port: int) -> bool:
        """Return whether something listens on the port already."""
        return bool(self._ask("host.port_taken", address, port))

    def has_address(self, address: str) -> bool:
        """Return whether an IP address is one of that host's, or stands for all of them."""
        return bool(self._ask("host.has_address", address))

    def program_runs(self, name: str) -> bool:
        """Return whether a process of this name runs."""
        return bool(self._ask("host.program_runs", name))

    def drop_caches(self) -> None:
        """Ask its kernel to give back the page cache.

        Raises:
            EngineError: only root may; the hint is the command.
        """
        self._ask("host.drop_caches", within_s=_DISK_S)

    def disk_free_bytes(self, path: Path) -> int | None:
        """Return the free bytes of the file system that holds (or would hold) ``path``."""
        return _number(self._ask("host.disk_free_bytes", str(path)))

    def reaches(self, address: str) -> bool:
        """Return whether another host answers that host at an address."""
        return bool(self._ask("host.reaches", address))

    def facts(self) -> MachineFacts:
        """Return what the machine says of itself."""
        found = MachineFacts(**self._ask("host.facts"))
        interfaces = tuple(Interface(*one) for one in found.interfaces)
        return found._replace(interfaces=interfaces, rdma=tuple(RdmaDevice(*one) for one in found.rdma))


class RemoteModels:
    """The Models port of another host; ``lay`` copies a model's description below ``kept``."""

    def __init__(self, asks: Asks, kept: Path, lay: Callable[[Path, Sequence[tuple[str, int, bytes]]], None]) -> None:
        self._asks = asks
        self._kept = kept
        self._lay = lay

    def folder_problem(self, path: Path) -> str | None:
        """Return why vLLM could not load a model from ``path`` there, or None."""
        return _text(self._ask("folder_problem", str(path)))

    def cached(self, cache: Path, repo: str, revision: str | None) -> Path | None:
        """Return the snapshot of ``repo`` in a cache of that host when all its files are there, else None."""
        found = self._ask("cached", str(cache), repo, revision)
        return None if found is None else Path(found)

    def cache_problem(self, cache: Path, repo: str, revision: str | None) -> str | None:
        """Return why ``cached`` has no snapshot; None where it has one."""
        return _text(self._ask("cache_problem", str(cache), repo, revision))

    def file_problem(self, path: Path) -> str | None:
        """Return why a path leads to no file or folder there, or None."""
        return _text(self._ask("file_problem", str(path)))

    def links(self, root: Path, below: Path) -> tuple[Link, ...]:
        """Return the links at ``below`` and under it, and on the way to it, that lead out of the folder ``root``."""
        found = self._ask("links", str(root), str(below))
        return tuple(Link(Path(path), text, Path(real)) for path, text, real in found)

    def recorded(self, folder: Path) -> ModelRecord:
        """Return what lies in a model's folder there, as names and notes say it."""
        commit, files = self._ask("recorded", str(folder))
        return ModelRecord(commit, tuple(ModelFile(*one) for one in files))

    def readable(self, folder: Path) -> Path | None:
        """Return a copy of what the folder says of its model: config, index and headers, without a tensor."""
        here = self._kept.joinpath(*folder.parts[1:])
        if not here.is_dir():
            found = [(name, size, base64.b64decode(begin)) for name, size, begin in self._ask("said", str(folder))]
            if not found:
                return None
            here.mkdir(parents=True)
            self._lay(here, found)
        return here

    def summed(self, file: Path, kind: str, came: Callable[[int], None]) -> str:
        """Return the checksum of a file, all of which is read there; raises InputError if it cannot be read."""
        return str(self._asks.ask("models.summed", str(file), kind, within_s=None, told=came))

    def _ask(self, what: str, *given: Any) -> Any:  # noqa: ANN401  (what JSON has)
        return self._asks.ask(f"models.{what}", *given, within_s=_DISK_S)


class RemoteFiles:
    """The Files port of another host. Each method raises InputError as that of this host does."""

    def __init__(self, asks: Asks) -> None:
        self._asks = asks

    def write(self, path: Path, content: bytes, *, mode: int) -> None:
        """Write a file and its folders, replacing the regular file that is there."""
        self._ask("write", str(path), _coded(content), mode)

    def create(self, path: Path, content: bytes, *, mode: int) -> bool:
        """Write a file that is not there yet, and its folders; False: something has this name already."""
        return bool(self._ask("create", str(path), _coded(content), mode))

    def write_folder(self, path: Path, contents: Mapping[str, bytes], *, replace: bool) -> None:
        """Write a folder with these files; with ``replace`` in the place of the one that is there."""
        self._ask("write_folder", str(path), {name: _coded(one) for name, one in contents.items()}, replace)

    def make_folder(self, path: Path, *, shared: bool) -> None:
        """Make a folder and those above it for their owner alone, unless it is there; ``shared``: for every user."""
        self._ask("make_folder", str(path), shared)

    def remove(self, path: Path) -> None:
        """Remove a file; one that is not there is no error."""
        self._ask("remove", str(path))

    def content(self, path: Path) -> bytes | None:
        """Return what is in a file; None where there is none, or it cannot be read."""
        found = self._ask("content", str(path))
        return None if found is None else base64.b64decode(found)

    def names(self, folder: Path) -> list[str]:
        """Return the names of the files in a folder, in order; [] where it is not there, or cannot be read."""
        return [str(name) for name in self._ask("names", str(folder))]

    def sweep(self, folder: Path) -> list[Path]:
        """Remove what writes that were killed left in a folder and below, and return what that was."""
        return [Path(path) for path in self._ask("sweep", str(folder))]

    def _ask(self, what: str, *given: Any) -> Any:  # noqa: ANN401  (what JSON has)
        return self._asks.ask(f"files.{what}", *given, within_s=_DISK_S)


class RemoteCopyDisk:
    """The disk's part of the Copies port of another host. Each method raises InputError as that of this host does."""

    def __init__(self, asks: Asks) -> None:
        self._asks = asks

    def files(self, folder: Path) -> list[StoredFile]:
        """Return the files of a model that a server may read, and the notes of its download, by name."""
        return [StoredFile(*one) for one in self._ask("files", str(folder))]

    def sizes(self, paths: Sequence[Path]) -> list[int | None]:
        """Return the bytes of each file, None where there is no regular file."""
        return [_number(one) for one in self._ask("sizes", [str(path) for path in paths])]

    def begin(self, path: Path) -> int:
        """Make the folders above a file, and return how many bytes of it are there already."""
        return int(self._ask("begin", str(path)))

    def finish(self, partial: Path, path: Path, changed_ns: int) -> None:
        """Write a file's bytes to the disk, and give it its name and its time."""
        self._ask("finish", str(partial), str(path), changed_ns, within_s=_SYNC_S)

    def link(self, path: Path, text: str) -> None:
        """Make a symbolic link, in place of a link or a file that has its name."""
        self._ask("link", str(path), text)

    def remove(self, path: Path) -> None:
        """Remove a file or a link; one that is not there is no error."""
        self._ask("remove", str(path))

    def _ask(self, what: str, *given: Any, within_s: float = _DISK_S) -> Any:  # noqa: ANN401  (what JSON has)
        return self._asks.ask(f"copies.{what}", *given, within_s=within_s)


class RemoteLocks:
    """The Locks port of another host: its own locks, which commands on that host also take.

    The interpreter there holds them, so they end with the connection; ``who`` is its description of the holder.
    """

    def __init__(self, asks: Asks, who: str) -> None:
        self._ask = asks.ask
        self._who = who

    @property
    def me(self) -> str:
        """The process there that lives as long as this command: for the labels of what it makes."""
        return str(self._ask("locks.me"))

    def lives(self, process: str) -> bool | None:
        """Return whether a process of that host still runs; None where that cannot be known."""
        found = self._ask("locks.lives", process)
        return None if found is None else bool(found)

    @contextmanager
    def hold(self, engine_id: str, *, waiting: Callable[[str], None], longest_s: float | None = None) -> Iterator[None]:
        """Hold the engine's lock; ``waiting`` is told, once, who holds it while this waits, for ``longest_s``."""
        longest = LONGEST_S if longest_s is None else longest_s
        number = self._ask("locks.hold", engine_id, self._who, longest, within_s=longest + _DISK_S, told=waiting)
        try:
            yield
        finally:
            self._let_go(number)

    @contextmanager
    def work_on(self, engine_id: str, service: str) -> Iterator[bool]:
        """Say, until this is left, that this command works on a service; False: another one does already."""
        number = self._ask("locks.work_on", engine_id, service)
        try:
            yield number is not None
        finally:
            if number is not None:
                self._let_go(number)

    def worked_on(self, engine_id: str, service: str) -> bool:
        """Return whether a command that runs works on a service."""
        return bool(self._ask("locks.worked_on", engine_id, service))

    def _let_go(self, number: int) -> None:
        with suppress(EngineError):  # if the connection has ended, so has the lock
            self._ask("locks.let_go", number)


def _number(found: Any) -> int | None:  # noqa: ANN401  (what JSON has)
    return None if found is None else int(found)


def _text(found: Any) -> str | None:  # noqa: ANN401  (what JSON has)
    return None if found is None else str(found)


def _coded(content: bytes) -> str:
    return base64.b64encode(content).decode()
