"""The doors between decisions and the world. Adapters implement them; tests pass fakes.

Everything here is a value or a Protocol; this module imports no Docker, no HTTP and no clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sparkctl.operations.bench.result import Bench as Benchmark
    from sparkctl.planning.measured import Measurement
    from sparkctl.vllm.streams import Raw
    from sparkctl.world.spec import ContainerSpec


class EngineInfo(NamedTuple):
    """Who the engine is. ``elsewhere`` is why its memory, models and mods are not this host's, or None: they are."""

    kind: str
    id: str
    version: str
    elsewhere: str | None = None
    default_runtime: str = ""
    runtimes: tuple[str, ...] = ()
    cdi_devices: tuple[str, ...] = ()


class Container(NamedTuple):
    """A container as the engine sees it now. ``state`` is docker's: created, running, paused, exited or dead.

    ``started_at`` and ``finished_at`` are seconds since the epoch (None: never); ``oom_killed`` as the engine says.
    ``mounts`` are (source on the host, target, read_only); ``command`` is what follows the image in ``docker run``;
    ``env`` is the whole environment, secrets among it: compare it, never show it.
    """

    id: str
    name: str
    image: str
    image_id: str
    state: str
    labels: Mapping[str, str]
    exit_code: int | None = None
    oom_killed: bool = False
    error: str = ""
    started_at: float | None = None
    finished_at: float | None = None
    mounts: tuple[tuple[str, str, bool], ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()


class Image(NamedTuple):
    """An image that the engine has: its id (the digest of its configuration), its digests in registries, its bytes."""

    id: str
    digests: tuple[str, ...]
    size_bytes: int


class PullProgress(NamedTuple):
    """A moment of a pull: bytes over all layers; ``total_bytes`` 0 while it is not known."""

    current_bytes: int
    total_bytes: int
    text: str


class Package(NamedTuple):
    """A package as an image's Python finds it: its folder with all links resolved, and its distribution's version.

    ``folder`` is None where there is no such package; ``on_disk`` is False for one in a zip file.
    """

    folder: str | None
    on_disk: bool = True
    version: str | None = None


class ImportedFile(NamedTuple):
    """A file as the Python of a running container sees it.

    ``md5`` is None where there is none. ``origin`` is what ``import`` of ``module`` loads, None where nothing is found;
    ``shadow`` is a compiled file that runs in its place although it was made from another source. ``read_only`` is how
    the file is mounted, None where it is no mount.
    """

    md5: str | None
    module: str | None = None
    origin: str | None = None
    shadow: str | None = None
    read_only: bool | None = None


class LogTail(Protocol):
    """The log of one container since its start, read without waiting."""

    def read(self) -> list[str]:
        """Return the lines that came since the last call, without their line ends; [] when there is none."""

    def close(self) -> None:
        """Stop reading."""


class Engine(Protocol):
    """What runs containers. Every method raises EngineError when the engine refuses or does not answer."""

    def info(self) -> EngineInfo:
        """Return who the engine is."""

    def containers(self) -> Sequence[Container]:
        """Return every container of the engine, running or not, sparkctl's or not."""

    def container(self, name: str) -> Container | None:
        """Return the container with this name or id, or None."""

    def image(self, reference: str) -> Image | None:
        """Return the image, or None when the engine does not have it."""

    def pull(self, reference: str) -> Iterator[PullProgress]:
        """Fetch an image; the iteration ends when it is there."""

    def create(self, spec: ContainerSpec) -> str:
        """Create, without starting, the container and return its id."""

    def start(self, container: str) -> None:
        """Start a container that was created."""

    def stop(self, container: str, *, grace_s: float) -> None:
        """Ask a container to end, and kill it after ``grace_s`` seconds."""

    def rename(self, container: str, name: str) -> None:
        """Give a container another name."""

    def remove(self, container: str) -> None:
        """Remove a container, killing it if it runs. One that is gone already is no error."""

    def logs(self, container: str, *, tail: int | None = None) -> list[str]:
        """Return the last ``tail`` lines of the log (None: all)."""

    def follow(self, container: str) -> LogTail:
        """Return a reader of the log that does not wait."""

    def processes(self, container: str) -> tuple[int, ...]:
        """Return the process ids, as the host counts them, of a running container; () when it does not run."""

    def read_file(self, container: str, path: str) -> bytes | None:
        """Return a file as a process of the running container sees it, or None when there is none."""

    def read_image_files(self, reference: str, paths: Sequence[str]) -> Mapping[str, bytes | None]:
        """Return files of an image without running it, None for one that is not there. Symbolic links are followed."""

    def packages(self, reference: str, names: Sequence[str]) -> Mapping[str, Package]:
        """Return what the Python of an image says of some packages; it runs in a container without network.

        Raises:
            EngineError: also, the image has no Python.
        """

    def imported(self, container: str, files: Sequence[tuple[str, str | None]]) -> Mapping[str, ImportedFile] | None:
        """Return what the Python of a running container makes of some files, or None where it has no Python.

        Each is a path and the module that it is to be, None: whichever the path makes it.
        """


class PathEntry(NamedTuple):
    """What lies at a path of a container, links not followed.

    ``kind`` is file, folder, link or other (a device, a pipe, a socket). ``mode`` are the permission bits. ``content``
    is None for what is no file, and for a file of more bytes than were asked for.
    """

    kind: str
    mode: int
    size_bytes: int
    content: bytes | None = None
    link: str = ""


class PathChange(NamedTuple):
    """A path of a container that is not as in its image. ``kind`` is added, changed or deleted."""

    path: str
    kind: str


class Workbench(Protocol):
    """Containers to try something in, running or not. Every method raises EngineError when the engine refuses."""

    def workdir(self, container: str) -> str:
        """Return the folder that the container's processes start in."""

    def unpack(self, container: str, archive: bytes) -> None:
        """Unpack a tar archive over the container's root."""

    def changes(self, container: str) -> Sequence[PathChange]:
        """Return what is not as in the image: files, links, and the folders that hold them."""

    def entry(self, container: str, path: str, *, most_bytes: int) -> PathEntry | None:
        """Return what lies at a path, with the content of a file of at most ``most_bytes``; None: nothing."""


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
    """A GPU as NVML reports it; every field that NVML does not report is None. Bytes, degrees Celsius, watts."""

    name: str | None
    driver: str | None
    compute_capability: str | None
    total_bytes: int | None
    uuid: str | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    utilization_percent: int | None = None


class Activity(NamedTuple):
    """What a process has used since its start: CPU in seconds, and bytes read from disks (None: hidden)."""

    cpu_s: float
    read_bytes: int | None = None


class Host(Protocol):
    """The machine that the engine runs on. Nothing here raises for a fact that is not reported: it returns None."""

    def memory(self) -> MemoryReading:
        """Return the memory now."""

    def gpus(self) -> Sequence[Gpu]:
        """Return the GPUs; () when there is none or no driver."""

    def gpu_bytes(self) -> Mapping[int, int]:
        """Return the GPU bytes by process id, from NVML's process list; empty when NVML has none."""

    def resident_bytes(self, pid: int) -> int | None:
        """Return the anonymous bytes of a process (resident less shared), or None when it is gone or hidden."""

    def activity(self, pid: int) -> Activity | None:
        """Return what a process has used so far, or None when it is gone or hidden."""

    def port_taken(self, address: str, port: int) -> bool:
        """Return whether something listens on the port already."""

    def program_runs(self, name: str) -> bool:
        """Return whether a process of this name runs."""

    def drop_caches(self) -> None:
        """Ask the kernel to give back the page cache.

        Raises:
            EngineError: only root may; the hint is the command.
        """

    def disk_free_bytes(self, path: Path) -> int | None:
        """Return the free bytes of the file system that holds (or would hold) ``path``."""


class Models(Protocol):
    """The models on this host's disk."""

    def folder_problem(self, path: Path) -> str | None:
        """Return why vLLM could not load a model from ``path`` (missing, empty, unreadable …), or None."""

    def cached(self, cache: Path, repo: str, revision: str | None) -> Path | None:
        """Return the snapshot of ``repo`` in a Hugging Face cache when all its files are there, else None."""


class Reply(NamedTuple):
    """An HTTP answer. ``status`` None: no answer, and ``body`` says why (refused, reset, timed out)."""

    status: int | None
    body: str


class Http(Protocol):
    """Short requests to a server on this host. A refused, reset or silent connection is a Reply, not an error."""

    def get(self, url: str, *, key: str | None = None, timeout_s: float = 5.0) -> Reply:
        """GET ``url`` with ``key`` as the bearer token."""

    def post(self, url: str, body: object, *, key: str | None = None, timeout_s: float = 60.0) -> Reply:
        """POST ``body`` as JSON."""


class Streams(Protocol):
    """Streamed completions, timed."""

    def run(
        self, url: str, bodies: Sequence[Mapping[str, object]], *, key: str | None = None, timeout_s: float
    ) -> list[Raw]:
        """POST each body at the same moment, and return what came of each and when, in their order.

        One that fails has an error in its place; nothing is raised for it.
        """


class Clock(Protocol):
    """Time, so that no test waits for it."""

    def monotonic(self) -> float:
        """Return seconds from some start."""

    def epoch(self) -> float:
        """Return seconds since the epoch, as the engine counts them; a clock that is set jumps."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class Files(Protocol):
    """Files that sparkctl writes in its own folders. A write is whole or not at all."""

    def write(self, path: Path, content: bytes, *, mode: int) -> None:
        """Write a file and its folders, replacing what is there.

        Raises:
            InputError: no permission, or the disk is full; then nothing is left.
        """

    def remove(self, path: Path) -> None:
        """Remove a file; one that is not there is no error."""


class Came(Protocol):
    """Is told how many bytes have come, and of how many where that is known."""

    def __call__(self, now: int, total: int | None, /) -> None:
        """Take note."""


class Fetcher(Protocol):
    """The network, for files of mods."""

    def url(self, url: str, *, token: str | None, most_bytes: int, progress: Came) -> bytes:
        """Return what is behind a URL; ``progress`` is told the bytes that came, and of how many where that is known.

        Raises:
            InputError: it cannot be had, in words.
        """

    def wheel_file(self, package: str, release: str, file: str) -> bytes:
        """Return one file of a released package's wheel.

        Raises:
            InputError: it cannot be had, in words.
        """


class Store(Protocol):
    """What starts took, kept for the next plan. ``warnings`` collects what of the stored could not be read.

    Every method raises InputError when the file is damaged, locked, not writable, or of a newer sparkctl: an answer
    to a command, and no more than a warning to a start.
    """

    warnings: list[str]

    def add(self, measurement: Measurement) -> None:
        """Keep a measurement. It is kept whole or not at all."""

    def measurements(self, model: str | None = None) -> list[Measurement]:
        """Return the measurements of a model's repository (None: all), the oldest first."""

    def add_bench(self, bench: Benchmark) -> None:
        """Keep a benchmark. It is kept whole or not at all."""

    def benches(self, service: str | None = None) -> list[Benchmark]:
        """Return the benchmarks of a service (None: all), in the order in which they were kept."""

    def forget(self, name: str) -> int:
        """Remove what was measured of a service, a recipe or a model of this name, and return how many that were."""


class Locks(Protocol):
    """One lock per engine, across all users of this host."""

    def hold(self, engine_id: str, *, waiting: Callable[[str], None]) -> AbstractContextManager[None]:
        """Hold the engine's lock; ``waiting`` is told, once, who holds it while this waits."""


class Report(Protocol):
    """What the controller tells while it works."""

    def say(self, text: str) -> None:
        """Tell what was done."""

    def progress(
        self,
        service: str,
        phase: str,
        tail: str,
        fraction: float | None = None,
        facts: Mapping[str, float | None] | None = None,
    ) -> None:
        """Tell where a start or a pull is, and how much of it is done (0 to 1) where that is known; called often.

        ``facts`` are the figures that ``tail`` has in words, for a program.
        """


class Ports(NamedTuple):
    """All the doors of one engine's world."""

    engine: Engine
    host: Host
    http: Http
    clock: Clock
    locks: Locks
    models: Models
    files: Files
    bench: Workbench | None = None
    """None where nothing can be tried out: a simulated engine runs no images."""
    streams: Streams | None = None
    """None: those of this machine, which are imported when they are used."""
