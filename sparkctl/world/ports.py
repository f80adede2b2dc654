"""The doors between decisions and the world. Adapters implement them; tests pass fakes.

Everything here is a value or a Protocol; this module imports no Docker, no HTTP and no clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sparkctl.world.builder import Builder
    from sparkctl.world.engine import Engine, ImageCarrier
    from sparkctl.world.host import Host, ModelRecord, Models
    from sparkctl.world.web import Http, Streams
    from sparkctl.world.workbench import Workbench


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

    def create(self, path: Path, content: bytes, *, mode: int) -> bool:
        """Write a file that is not there yet, and its folders; False: something has this name already.

        Of two that create the same one does.

        Raises:
            InputError: no permission, or the disk is full; then nothing is left.
        """

    def write_folder(self, path: Path, contents: Mapping[str, bytes], *, replace: bool) -> None:
        """Write a folder with these files; with ``replace`` in the place of the one that is there.

        Raises:
            InputError: it is there already, no permission, or the disk is full; then nothing has changed.
        """

    def make_folder(self, path: Path, *, shared: bool) -> None:
        """Make a folder and those above it, unless it is there; ``shared``: every user may write in it.

        Raises:
            InputError: no permission, or the disk is full.
        """

    def remove(self, path: Path) -> None:
        """Remove a file; one that is not there is no error."""

    def content(self, path: Path) -> bytes | None:
        """Return what is in a file; None where there is none, or it cannot be read."""

    def names(self, folder: Path) -> list[str]:
        """Return the names of the files in a folder, in order; [] where it is not there, or cannot be read."""

    def sweep(self, folder: Path) -> list[Path]:
        """Remove what writes that were killed left in a folder and below, and return what that was."""


class ProductFile(NamedTuple):
    """What lies below a folder: its path from there, and its bytes.

    ``kind`` is file, folder, link, deep (a folder so deep that it is not looked into), closed (one that nobody may look
    into) or other (a pipe, a device).
    """

    name: str
    kind: str
    bytes: int


class Products(Protocol):
    """The folders that jobs make models in, and those that they read. A user is a (uid, gid) of this host.

    Every method raises InputError where the file system refuses, in words. Nothing of a folder that a job writes is
    read or changed through a link.
    """

    @property
    def me(self) -> tuple[int, int]:
        """The user that this process is."""

    def lies_there(self, path: Path) -> str:
        """Return what lies at a path, links not followed: a folder, a file, a link, something else; "": nothing."""

    def make(self, path: Path, user: tuple[int, int]) -> None:
        """Make an empty folder for a user alone, and the folders above it; it is an error where something is there."""

    def files(self, folder: Path) -> list[ProductFile]:
        """Return what lies below a folder, by name; [] where it is not there."""

    def rename(self, folder: Path, old: str, new: str) -> None:
        """Give a file of a folder another name there, in the place of what has it; without that file nothing is done.

        What is under the old name must be a regular file.
        """

    def sha256(self, path: Path, came: Callable[[int], None]) -> str:
        """Return the checksum of a regular file; ``came`` is told how many more bytes were read, piece by piece."""

    def hand_over(self, folder: Path, user: tuple[int, int]) -> None:
        """Give all that is in a folder to a user: files to be read by everybody (0644), folders too (0755)."""

    def publish(self, partial: Path, output: Path) -> None:
        """Write all of a folder to the disk and give it its name, which nothing may have; safe against a power cut."""

    def remove(self, partial: Path) -> None:
        """Remove the folder of an unfinished product (``partial_folder``) and all in it; none is no error."""

    def partials(self, output: Path) -> list[Path]:
        """Return the unfinished products that lie beside an output, by name; [] where they cannot be listed."""

    def unreadable(self, folder: Path, user: tuple[int, int]) -> list[Path]:
        """Return what a user without further groups could not read of a folder, links followed."""


class HubModel(NamedTuple):
    """What a repository says of its model: its commit, its config.json, and its tensors: name, dtype, shape, bytes.

    ``tensors`` is () where it has no safetensors.
    """

    commit: str
    config: bytes
    tensors: tuple[tuple[str, str, tuple[int, ...], int], ...]


class Hub(Protocol):
    """The hub that models come from. Every method raises InputError when the hub, the network or the disk refuses."""

    def download(self, repo: str, revision: str | None, *, folder: Path | None, cache: Path) -> None:
        """Download a repository into ``folder``, or (None) into a Hugging Face cache, whose hub folder is ``cache``.

        What was cut off resumes.
        """

    def described(self, repo: str, revision: str | None) -> HubModel:
        """Return what a repository says of its model at a revision, None for its main branch.

        Of the weights, the headers alone are read. A hub that does not answer is an error after some seconds.
        """

    def texts(self, repo: str, revision: str | None, names: Sequence[str]) -> Mapping[str, bytes]:
        """Return small files of a repository at a revision, None for its main branch; without those that it has not.

        Of each no more than a mebibyte is read. A hub that does not answer is an error after some seconds.
        """

    def listed(self, repo: str, revision: str | None) -> ModelRecord:
        """Return the commit of a revision, None for the main branch, and its files with their sums.

        One question, and no file is read. A hub that does not answer is an error after some seconds.
        """


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


class StoredRecord(NamedTuple):
    """Something that is kept. ``text`` is the whole record as JSON, which the store does not interpret.

    The other fields are for look-ups: ``kind`` is measurement or bench, ``at`` seconds since the epoch, ``model`` a
    repository's name; "" if one does not apply.
    """

    kind: str
    at: float
    service: str
    recipe: str
    model: str
    text: str


class Store(Protocol):
    """What is kept from one command to the next.

    Every method raises InputError when the file is damaged, locked, not writable, or of a newer sparkctl. A command
    reports that error; a start only warns.
    """

    def add(self, record: StoredRecord) -> None:
        """Keep a record. It is kept whole or not at all."""

    def records(self, kind: str) -> list[StoredRecord]:
        """Return the records of a kind, in the order in which they were kept."""

    def forget(self, kind: str, name: str) -> int:
        """Remove the records of a kind whose service, recipe or model has this name; return how many there were."""

    def add_bounded(self, records: Sequence[StoredRecord], most: int) -> None:
        """Store records, and keep only the ``most`` newest of each of their kinds: all of it or nothing."""


class Locks(Protocol):
    """One lock per engine, across all users of this host, and whether the process that made something still runs."""

    @property
    def me(self) -> str:
        """The present process, as a text that no other has: for the labels and the names of what it makes."""

    def lives(self, process: str) -> bool | None:
        """Return whether the process with an earlier ``me`` still runs; None if that cannot be known from here."""

    def hold(
        self, engine_id: str, *, waiting: Callable[[str], None], longest_s: float | None = None
    ) -> AbstractContextManager[None]:
        """Hold the engine's lock; ``waiting`` is told, once, who holds it while this waits.

        Raises:
            EngineError: it has been held for ``longest_s`` (None: as long as a command may hold it).
        """

    def work_on(self, engine_id: str, service: str) -> AbstractContextManager[bool]:
        """Mark, until this is left, that this command works on a service; False: another one does, or this one already.

        The caller holds the engine's lock while asking; the mark may be held longer, and ends with the process.
        """

    def worked_on(self, engine_id: str, service: str) -> bool:
        """Return whether a command that runs works on a service."""


class Report(Protocol):
    """Receives messages while sparkctl works: for the operator of the command line, or the program that calls it."""

    def say(self, text: str) -> None:
        """Report what was done."""

    def warn(self, text: str) -> None:
        """Report what may be wrong."""

    def progress(
        self,
        service: str,
        phase: str,
        tail: str,
        fraction: float | None = None,
        facts: Mapping[str, float | None] | None = None,
    ) -> None:
        """Report the progress of a start or a pull, and the finished share (0 to 1) if known; called often.

        ``facts`` are the figures in ``tail``, for a program.
        """


class Supervisor(Protocol):
    """The program that started this process and watches it, such as systemd; without one, nothing is sent."""

    @property
    def watchdog_s(self) -> float | None:
        """Within how many seconds it has to receive ``WATCHDOG=1``, else it ends this process; None: it does not."""

    def tell(self, *words: str) -> None:
        """Send it this process's state, as sd_notify(3) has it: ``READY=1``, ``STATUS=a line``, ``STOPPING=1``."""


class Account(NamedTuple):
    """A user of this host: name, number, home, and the names of their groups."""

    name: str
    uid: int
    home: Path
    groups: frozenset[str]


class ServiceManager(Protocol):
    """Starts programs together with this host: systemd. Its units are files, which ``Files`` writes."""

    @property
    def runs(self) -> bool:
        """Whether it manages this host."""

    def ask(self, *words: str, user: bool) -> str:
        """Run a `systemctl` command (``user``: for this user's manager); return "", or why it was refused."""

    def account(self, name: str | None) -> Account | None:
        """Return a user of this host, None if there is none of this name; without a name, this process's user."""


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
    """None if nothing can be tried out: a simulated engine runs no images."""
    streams: Streams | None = None
    """None: this machine's own, which are imported when they are used."""
    builder: Builder | None = None
    """None if no images can be built: a simulated engine has none."""
    products: Products | None = None
    """None if no job can run: a simulated engine runs no images."""
    carrier: ImageCarrier | None = None
    """None if no image can be transferred: a simulated engine has no image data."""
