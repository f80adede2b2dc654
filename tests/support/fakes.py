"""A world without a world: hand-written fakes of the ports, which record what is done to them."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.units import GIB
from sparkctl.operations.records import MEASUREMENT, Records, measurement_record
from sparkctl.world.host import Activity, Gpu, GpuProcess, Link, MemoryReading, ModelRecord, ProcessIdentity
from sparkctl.world.spec import env_file
from sparkctl.world.web import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from sparkctl.planning.measured import Measurement
    from sparkctl.world.ports import Account, HubModel, StoredRecord


@dataclass
class FakeHost:
    """A Spark's memory, as ordered."""

    total: int = 120 * GIB
    available: int = 110 * GIB
    taken_ports: set[int] = field(default_factory=set)
    resident: dict[int, int] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    cached: int = 0
    disk_free: int = 500 * GIB
    activities: list[Activity] = field(default_factory=list)
    root: bool = True
    gpu: list[Gpu] = field(default_factory=lambda: [Gpu("NVIDIA GB10", "580.142", "12.1", None)])
    on_gpus: list[GpuProcess] = field(default_factory=list)
    listening: Callable[[str, int], bool] = lambda _, __: False

    def memory(self) -> MemoryReading:
        return MemoryReading(
            self.total, self.available, cached_bytes=self.cached, free_bytes=self.available - self.cached
        )

    def drop_caches(self) -> None:
        if not self.root:
            raise EngineError("the page cache cannot be dropped: Permission denied", hint="sudo …")
        self.cached = 0

    def gpus(self) -> list[Gpu]:
        return self.gpu

    def gpu_bytes(self) -> dict[int, int]:
        found = dict(self.resident)
        for one in self.on_gpus:
            found[one.pid] = found.get(one.pid, 0) + (one.bytes or 0)
        return found

    def gpu_processes(self) -> list[GpuProcess]:
        return [*(GpuProcess(0, pid, count) for pid, count in self.resident.items()), *self.on_gpus]

    def resident_bytes(self, pid: int) -> int | None:
        return None if pid in self.hidden else 0

    def others_bytes(self, ours: Collection[int]) -> int | None:
        return sum(self.resident.get(pid, 0) for pid in self.resident if pid not in ours)

    def identity(self, pid: int) -> ProcessIdentity | None:
        return None if pid in self.hidden else ProcessIdentity(1000 + pid)

    def activity(self, pid: int) -> Activity | None:
        return self.activities.pop(0) if self.activities else None

    def port_taken(self, address: str, port: int) -> bool:
        return port in self.taken_ports or self.listening(address, port)

    def has_address(self, address: str) -> bool:
        return not address.startswith(("192.0.2.", "203.0.113.", "2001:db8:"))

    def program_runs(self, name: str) -> bool:
        return True

    def disk_free_bytes(self, path: Path) -> int | None:
        return self.disk_free


@dataclass
class FakeHttp:
    """Servers by URL prefix: the names that they serve. Without an entry, the connection is refused.

    So it is where ``closed`` says of a prefix that its container does not run.
    """

    serving: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    metrics: dict[str, str] = field(default_factory=dict)
    metrics_in_turn: list[str] = field(default_factory=list)

    statuses: dict[str, int] = field(default_factory=dict)
    """What a path answers in place of 200, by path."""

    closed: Callable[[str], bool] = lambda _: False
    certificates: list[str] = field(default_factory=list)
    """The files whose certificates servers had to show."""

    def trusting(self, certificate: str) -> FakeHttp:
        self.certificates.append(certificate)
        return self

    def get(self, url: str, *, key: str | None = None, timeout_s: float = 5.0) -> Reply:
        self.asked.append(url)
        base, _, path = url.partition("://")[2].partition("/")
        if path in self.statuses:
            return Reply(self.statuses[path], "ordered")
        name = None if self.closed(base) else self.serving.get(base)
        if name is None:
            return Reply(None, "Connection refused")
        if path == "health":
            return Reply(200, "")
        if path == "metrics":
            text = self.metrics_in_turn.pop(0) if self.metrics_in_turn else self.metrics.get(base, "")
            return Reply(200, text)
        if self.keys.get(base, key) != key:
            return Reply(401, "Unauthorized")
        return Reply(200, json.dumps({"data": [{"id": name}]}))

    def post(self, url: str, body: object, *, key: str | None = None, timeout_s: float = 60.0) -> Reply:
        self.asked.append(url)
        return Reply(200, json.dumps({"choices": [{"text": " 4 5 6 7"}], "usage": {"completion_tokens": 4}}))


@dataclass
class FakeClock:
    """Time that passes only in sleeps; ``interrupt_at`` is when the operator presses Ctrl-C."""

    now: float = 0.0
    interrupt_at: float | None = None
    dies: Callable[[], object] | None = None
    """What happens, once, while somebody sleeps."""

    def monotonic(self) -> float:
        return self.now

    def epoch(self) -> float:
        return 1.0 + self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.dies is not None:
            happens, self.dies = self.dies, None
            happens()
        if self.interrupt_at is not None and self.now >= self.interrupt_at:
            self.interrupt_at = None
            raise KeyboardInterrupt


@dataclass
class FakeLocks:
    """A lock that somebody may hold. Of processes, ``me`` and those in ``living`` run; "gone" does not.

    ``working`` are the services that commands work on, other commands' among them.
    """

    holder: str | None = None
    held: list[str] = field(default_factory=list)
    me: str = "me"
    living: set[str] = field(default_factory=set)
    working: set[str] = field(default_factory=set)

    @contextmanager
    def work_on(self, engine_id: str, service: str) -> Iterator[bool]:
        free = service not in self.working
        self.working.add(service)
        try:
            yield free
        finally:
            if free:
                self.working.discard(service)

    def worked_on(self, engine_id: str, service: str) -> bool:
        return service in self.working

    def lives(self, process: str) -> bool | None:
        return True if process in {self.me, *self.living} else False if process == "gone" else None

    @contextmanager
    def hold(self, engine_id: str, *, waiting: Callable[[str], None], longest_s: float | None = None) -> Iterator[None]:
        if self.holder:
            waiting(self.holder)
        self.held.append(engine_id)
        yield


@dataclass
class FakeModels:
    """Models that are there unless named as missing."""

    missing: dict[str, str] = field(default_factory=dict)
    cache: set[str] = field(default_factory=set)
    commits: dict[str, str] = field(default_factory=dict)
    """The commit of a repository's snapshot in the cache."""
    files: set[Path] = field(default_factory=set)
    """Other files and folders of the host that are there."""

    records: dict[str, ModelRecord] = field(default_factory=dict)
    """What is noted of a model, by its folder's name."""

    sums: dict[str, str] = field(default_factory=dict)
    read: list[Path] = field(default_factory=list)
    """The files that were read to sum them, and what comes out, by the file's name."""

    def folder_problem(self, path: Path) -> str | None:
        return self.missing.get(path.name)

    def cached(self, cache: Path, repo: str, revision: str | None) -> Path | None:
        below = ("snapshots", self.commits[repo]) if repo in self.commits else ()
        return cache.joinpath(repo, *below) if repo in self.cache else None

    def cache_problem(self, cache: Path, repo: str, revision: str | None) -> str | None:
        return None if repo in self.cache else f"is not in the cache {cache}"

    def readable(self, folder: Path) -> Path | None:
        return folder if folder.is_dir() else None

    def file_problem(self, path: Path) -> str | None:
        return self.missing.get(path.name, None if path in self.files else "is not there")

    def links(self, root: Path, below: Path) -> Sequence[Link]:
        return ()

    def recorded(self, folder: Path) -> ModelRecord:
        return self.records.get(folder.name, ModelRecord())

    def summed(self, file: Path, kind: str, came: Callable[[int], None]) -> str:
        self.read.append(file)
        return self.sums.get(file.name, f"sha256:{hashlib.sha256(file.name.encode()).hexdigest()}")


@dataclass
class FakeHub:
    """A hub that knows these models, and is out of reach for all others."""

    models: dict[str, HubModel] = field(default_factory=dict)
    lists: dict[str, ModelRecord] = field(default_factory=dict)
    """The files of repositories at their main branch, or at REPO@REVISION."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Small files of repositories, by repository and name."""

    def texts(self, repo: str, revision: str | None, names: Sequence[str]) -> dict[str, bytes]:
        del revision
        if repo not in self.models:
            raise InputError(f"cannot read {repo}: the hub has not answered for 5 s", hint="check the network")
        return {name: self.files[repo][name] for name in names if name in self.files.get(repo, {})}

    def listed(self, repo: str, revision: str | None) -> ModelRecord:
        self.asked.append((repo, revision))
        found = self.lists.get(repo if revision is None else f"{repo}@{revision}")
        if found is None:
            raise InputError(f"cannot read {repo}: the hub has not answered for 5 s", hint="check the network")
        return found

    def download(self, repo: str, revision: str | None, *, folder: Path | None, cache: Path) -> None:
        raise InputError(f"cannot download {repo}: there is no network")

    def described(self, repo: str, revision: str | None) -> HubModel:
        self.asked.append((repo, revision))
        if repo not in self.models:
            raise InputError(f"cannot read {repo}: the hub has not answered for 5 s", hint="check the network")
        return self.models[repo]


@dataclass
class FakeFiles:
    """Files in a dict, with their modes, over this machine's disk; of ``folders`` everything is there, and empty.

    ``written`` is all that was written, also what was removed since.
    """

    written: dict[Path, tuple[bytes, int]] = field(default_factory=dict)
    removed: list[Path] = field(default_factory=list)
    folders: tuple[Path, ...] = ()
    left: list[Path] = field(default_factory=list)
    """What killed writes left."""
    made: list[tuple[Path, bool]] = field(default_factory=list)

    def write(self, path: Path, content: bytes, *, mode: int) -> None:
        self.written[path] = (content, mode)
        if path in self.removed:
            self.removed.remove(path)

    def create(self, path: Path, content: bytes, *, mode: int) -> bool:
        if self.content(path) is not None:
            return False
        self.write(path, content, mode=mode)
        return True

    def write_folder(self, path: Path, contents: Mapping[str, bytes], *, replace: bool) -> None:
        for name, content in contents.items():
            self.write(path / name, content, mode=0o644)

    def make_folder(self, path: Path, *, shared: bool) -> None:
        self.made.append((path, shared))

    def remove(self, path: Path) -> None:
        self.removed.append(path)

    def exists(self, path: Path) -> bool:
        """Return whether the host has it."""
        return self.content(path) is not None or path.exists() or any(map(path.is_relative_to, self.folders))

    def content(self, path: Path) -> bytes | None:
        """Return what is in a file, None where there is none."""
        if path in self.written and path not in self.removed:
            return self.written[path][0]
        return path.read_bytes() if path.is_file() else None

    def names(self, folder: Path) -> list[str]:
        return sorted(path.name for path in self.written if path.parent == folder and path not in self.removed)

    def env_file(self, path: str) -> bytes:
        """Return what is in an env-file that was written here, or is on disk."""
        written = self.written.get(Path(path))
        return env_file(path) if written is None else written[0]

    def sweep(self, folder: Path) -> list[Path]:
        swept = [path for path in self.left if folder in path.parents]
        self.left = [path for path in self.left if path not in swept]
        return swept


@dataclass
class FakeStore:
    """Records in a list; ``broken`` is what a damaged file says to whoever uses it, ``full`` to whoever adds to it."""

    kept: list[StoredRecord] = field(default_factory=list)
    broken: InputError | None = None
    full: InputError | None = None

    def add(self, record: StoredRecord) -> None:
        self._use()
        if self.full is not None:
            raise self.full
        self.kept.append(record)

    def add_bounded(self, records: Sequence[StoredRecord], most: int) -> None:
        for one in records:
            self.add(one)
        for kind in {one.kind for one in records}:
            places = [place for place, one in enumerate(self.kept) if one.kind == kind]
            gone = set(places[: max(len(places) - most, 0)])
            self.kept = [one for place, one in enumerate(self.kept) if place not in gone]

    def records(self, kind: str) -> list[StoredRecord]:
        self._use()
        return [one for one in self.kept if one.kind == kind]

    def forget(self, kind: str, name: str) -> int:
        self._use()
        before = len(self.kept)
        self.kept = [one for one in self.kept if one.kind != kind or name not in {one.service, one.recipe, one.model}]
        return before - len(self.kept)

    # --- for the tests -----------------------------------------------------------------------------------------------

    @property
    def measurements(self) -> list[Measurement]:
        """What was measured, the oldest first."""
        return Records(self).measurements()

    def measured(self, *measurements: Measurement) -> FakeStore:
        """Keep these in place of what was measured before."""
        self.kept = [one for one in self.kept if one.kind != MEASUREMENT]
        self.kept += map(measurement_record, measurements)
        return self

    def _use(self) -> None:
        if self.broken is not None:
            raise self.broken


@dataclass
class FakeSupervisor:
    """What watches a process, and what it was told."""

    watchdog_s: float | None = None
    told: list[str] = field(default_factory=list)

    def tell(self, *words: str) -> None:
        self.told += words


@dataclass
class FakeManager:
    """What starts programs with a host; ``refuses`` is what it says to a word, ``me`` the name of this user."""

    me: str = "ada"
    runs: bool = True
    asked: list[str] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)

    def ask(self, *words: str, user: bool) -> str:
        self.asked.append(" ".join([*(["--user"] if user else []), *words]))
        return self.refuses.get(words[0], "")

    def account(self, name: str | None) -> Account | None:
        return self.accounts.get(self.me if name is None else name)


@dataclass
class FakeReport:
    """What was told, in its order: said lines, warnings and phases."""

    said: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def progress(
        self,
        service: str,
        phase: str,
        tail: str,
        fraction: float | None = None,
        facts: Mapping[str, float | None] | None = None,
    ) -> None:
        self.phases.append(f"{service}: {phase}")
