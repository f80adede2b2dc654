"""The machine that the engine runs on: its memory, its GPUs, its models."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

INCOMPLETE: Final = ".incomplete"
"""The end of the name of a file that came and was not checked yet: as the hub's library calls such a blob.

No reader of models, here or of that library, takes it for the file itself.
"""


class MemoryReading(NamedTuple):
    """The host's memory now, in bytes, from /proc/meminfo.

    MemTotal, MemAvailable, SwapTotal, SwapFree, Cached, and MemFree (None: not read).
    """

    total_bytes: int
    available_bytes: int
    swap_total_bytes: int = 0
    swap_free_bytes: int = 0
    cached_bytes: int = 0
    free_bytes: int | None = None


class Gpu(NamedTuple):
    """A GPU as NVML reports it; every field that NVML does not report is None. Bytes, degrees Celsius, watts.

    ``total_bytes`` and ``free_bytes`` are those that CUDA shows a program: without what the driver reserves. A GPU of
    unified memory reports neither. ``mig``: it is divided into parts (multi-instance GPU). ``number`` is NVML's index.
    """

    name: str | None
    driver: str | None
    compute_capability: str | None
    total_bytes: int | None
    uuid: str | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    utilization_percent: int | None = None
    free_bytes: int | None = None
    mig: bool = False
    number: int | None = None


class GpuProcess(NamedTuple):
    """A process that holds memory of a GPU (NVML's index); ``bytes`` is None where the driver hides how much.

    ``name`` and ``user`` are "" where they are not known.
    """

    gpu: int
    pid: int
    bytes: int | None
    name: str = ""
    user: str = ""


class Activity(NamedTuple):
    """What a process has used since its start: CPU in seconds, and bytes read from disks (None: hidden)."""

    cpu_s: float
    read_bytes: int | None = None


class ProcessIdentity(NamedTuple):
    """A process beside its number: when it began, in the kernel's ticks (proc(5), field 22 of /proc/PID/stat).

    ``cgroup`` is the folder of its cgroup v2, "" where there is none.
    """

    began: int
    cgroup: str = ""


class Host(Protocol):
    """The machine that the engine runs on. Nothing here raises for a fact that is not reported: it returns None."""

    def memory(self) -> MemoryReading:
        """Return the memory now."""

    def gpus(self) -> Sequence[Gpu]:
        """Return the GPUs; () when there is none or no driver."""

    def gpu_bytes(self) -> Mapping[int, int]:
        """Return the GPU bytes by process id, from NVML's process list; empty when NVML has none."""

    def gpu_processes(self) -> Sequence[GpuProcess]:
        """Return the processes that hold memory of a GPU, whoever's they are; () when NVML has no list."""

    def resident_bytes(self, pid: int) -> int | None:
        """Return the anonymous bytes of a process (resident less shared), or None when it is gone or hidden."""

    def others_bytes(self, ours: Collection[int]) -> int | None:
        """Return the anonymous bytes of all processes but ``ours`` that do not hide theirs; None: it is not known."""

    def identity(self, pid: int) -> ProcessIdentity | None:
        """Return what tells a process from a later one with its number; None if it is gone, or not to be signalled."""

    def activity(self, pid: int) -> Activity | None:
        """Return what a process has used so far, or None when it is gone or hidden."""

    def port_taken(self, address: str, port: int) -> bool:
        """Return whether something listens on the port already."""

    def has_address(self, address: str) -> bool:
        """Return whether an IP address is one of this host's, or stands for all of them."""

    def program_runs(self, name: str) -> bool:
        """Return whether a process of this name runs."""

    def drop_caches(self) -> None:
        """Ask the kernel to give back the page cache.

        Raises:
            EngineError: only root may; the hint is the command.
        """

    def disk_free_bytes(self, path: Path) -> int | None:
        """Return the free bytes of the file system that holds (or would hold) ``path``."""


class Link(NamedTuple):
    """A symbolic link: its place below a folder, the text in it, and its target with all links resolved."""

    path: Path
    text: str
    real: Path


class ModelFile(NamedTuple):
    """A file of a model: its path in the folder, its bytes, and its sum as the hub counts it.

    ``sum`` is ``sha256:…`` of a large file, ``git-sha1:…`` (git's name of a blob) of a small one, "" where it is not
    known without reading the file.
    """

    name: str
    bytes: int
    sum: str = ""


class ModelRecord(NamedTuple):
    """The files of a model that a server may read, by name, and the commit that they are of; None: not known."""

    commit: str | None = None
    files: tuple[ModelFile, ...] = ()


class Models(Protocol):
    """The models on this host's disk. A ``cache`` is Hugging Face's hub folder: models--OWNER--NAME are in it."""

    def folder_problem(self, path: Path) -> str | None:
        """Return why vLLM could not load a model from ``path`` (missing, empty, unreadable …), or None."""

    def cached(self, cache: Path, repo: str, revision: str | None) -> Path | None:
        """Return the snapshot of ``repo`` in a cache when all its files are there, else None."""

    def cache_problem(self, cache: Path, repo: str, revision: str | None) -> str | None:
        """Return why ``cached`` has no snapshot, in words that follow the repository's name; None if it has one."""

    def file_problem(self, path: Path) -> str | None:
        """Return why a path leads to no file or folder, "is not there" among others, or None."""

    def links(self, root: Path, below: Path) -> Sequence[Link]:
        """Return the links at ``below`` and under it, and on the way to it, that lead out of the folder ``root``."""

    def recorded(self, folder: Path) -> ModelRecord:
        """Return what lies in a model's folder, or in a snapshot of a cache, by names and by what its download noted.

        No file of the model is read.
        """

    def readable(self, folder: Path) -> Path | None:
        """Return a folder of this machine in which the model's config, index and headers can be read; None: nowhere.

        That is the folder itself, or of another host's a copy of these, without a tensor.
        """

    def summed(self, file: Path, kind: str, came: Callable[[int], None]) -> str:
        """Return the sum of a file, of which all is read: ``git-sha1:…`` of that kind, else ``sha256:…``.

        What was read is given back to the page cache at once. ``came`` is told how many more bytes were read.

        Raises:
            InputError: it cannot be read.
        """


class StoredFile(NamedTuple):
    """A file of a model, or a note of its download, as it lies on a host.

    ``name`` is its path in the model's folder, ``path`` where its bytes are (links resolved), ``changed_ns`` when they
    were written, ``blob`` its name among the blobs of a cache ("" for a file of a plain folder), ``sum`` what its
    download noted (``sha256:…`` or ``git-sha1:…``, "": nothing). ``note``: it is a note, which no server reads.
    """

    name: str
    path: str
    bytes: int
    changed_ns: int
    blob: str = ""
    sum: str = ""
    note: bool = False


class Copies(Protocol):
    """The files of models on one host, read and written for copies. Paths are that host's.

    Every method raises InputError where the disk refuses, in words, and EngineError where the host does not answer.
    """

    def files(self, folder: Path) -> list[StoredFile]:
        """Return the files of a model that a server may read, and the notes of its download, by name."""

    def sizes(self, paths: Sequence[Path]) -> list[int | None]:
        """Return the bytes of each file, None if there is no regular file (links are followed)."""

    def begin(self, path: Path) -> int:
        """Make the folders above a file, and return how many bytes of it are there already: 0 if it is missing."""

    def finish(self, partial: Path, path: Path, changed_ns: int) -> None:
        """Write a file's bytes to the disk, and give it its name in place of what has it, and its time."""

    def link(self, path: Path, text: str) -> None:
        """Make a symbolic link with this text, in place of a link or a file that has its name."""

    def remove(self, path: Path) -> None:
        """Remove a file or a link; one that is not there is no error."""

    def reading(self, path: Path, offset: int) -> AbstractContextManager[IO[bytes]]:
        """Open a file's bytes from ``offset`` on, to be read here."""

    def writing(self, path: Path) -> AbstractContextManager[IO[bytes]]:
        """Open the end of a file, to be written from here; what was written is there when this is left."""

    def push_problem(self, to: str) -> str | None:
        """Return why rsync of this host does not get to another one, ``USER@ADDRESS``, by its own ssh; None: it does.

        The operator's agent is there where their ssh configuration forwards it to this host.
        """

    def push(self, path: Path, to: str, partial: Path, moment: Callable[[], None]) -> None:
        """Copy a file to another host by rsync, resuming a partial copy; ``moment`` is called twice a second."""


class Interface(NamedTuple):
    """A network interface: its IPv4 address ("": none), its MTU in bytes, and the kernel's word for its state."""

    name: str
    address: str = ""
    mtu: int | None = None
    state: str = ""


class RdmaDevice(NamedTuple):
    """An RDMA device, the interface that it belongs to, and the state of its first port (``ACTIVE``)."""

    name: str
    interface: str = ""
    state: str = ""


class MachineFacts(NamedTuple):
    """A machine's facts about itself, read at once; "" and None for what it does not tell.

    Bytes; ``clock_s`` is its clock in seconds since the epoch. ``engine_problem`` is why its user may not use the
    socket of its Docker Engine, None: they may. ``environ`` has the variables that say where folders are.
    """

    name: str
    machine_id: str
    boot_id: str
    kernel: str
    architecture: str
    python: str
    user: str
    uid: int
    home: str
    clock_s: float
    total_bytes: int
    available_bytes: int
    cma_total_bytes: int | None
    cma_free_bytes: int | None
    driver: str
    engine_problem: str | None
    environ: Mapping[str, str]
    interfaces: Sequence[Interface] = ()
    rdma: Sequence[RdmaDevice] = ()
