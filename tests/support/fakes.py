"""A world without a world: hand-written fakes of the ports, which record what is done to them."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.base.errors import EngineError
from sparkctl.base.units import GIB
from sparkctl.operations.records import MEASUREMENT, Records, measurement_record
from sparkctl.world.engine import Container, EngineInfo, Image, ImportedFile, Package, PullProgress
from sparkctl.world.host import Activity, Gpu, MemoryReading
from sparkctl.world.web import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sparkctl.base.errors import InputError
    from sparkctl.planning.measured import Measurement
    from sparkctl.world.ports import StoredRecord
    from sparkctl.world.spec import ContainerSpec

READY_LOG = ["Starting to load model /models/m...", "Application startup complete."]


@dataclass
class FakeEngine:
    """Containers in a dict. What a start does is ordered by ``on_start`` (by container name)."""

    images: dict[str, dict[str, bytes]] = field(default_factory=dict)
    there: dict[str, Container] = field(default_factory=dict)
    specs: dict[str, ContainerSpec] = field(default_factory=dict)
    created: list[ContainerSpec] = field(default_factory=list)
    log: dict[str, list[str]] = field(default_factory=dict)
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    on_start: dict[str, Callable[[Container], Container]] = field(default_factory=dict)
    elsewhere: str | None = None
    vllm: str | None = None
    python: bool = True
    seen: dict[str, ImportedFile] = field(default_factory=dict)
    fail: dict[str, EngineError] = field(default_factory=dict)
    tagged: dict[str, str] = field(default_factory=dict)
    """The id of the image that a tag names now, where it is not the usual one."""

    def info(self) -> EngineInfo:
        return EngineInfo("fake", "engine-1", "1", elsewhere=self.elsewhere, runtimes=("nvidia",))

    def containers(self) -> list[Container]:
        return list(self.there.values())

    def container(self, name: str) -> Container | None:
        return next((c for c in self.there.values() if name in {c.name, c.id}), None)

    def image(self, reference: str) -> Image | None:
        return Image(self._image_id(reference), (), 9 * GIB) if reference in self.images else None

    def _image_id(self, reference: str) -> str:
        return self.tagged.get(reference, f"sha256:{reference}")

    def pull(self, reference: str) -> Iterator[PullProgress]:
        self._do(f"pull {reference}")
        yield PullProgress(1, 2, "half")
        self.images[reference] = {}

    def create(self, spec: ContainerSpec) -> str:
        self._do(f"create {spec.name}")
        identity = f"id-{sum(call.startswith('create ') for call in self.calls) - 1}"
        self.specs[spec.name] = spec
        self.created.append(spec)
        self.there[identity] = Container(
            identity,
            spec.name,
            spec.image,
            self._image_id(spec.image),
            "created",
            dict(spec.labels),
            mounts=tuple((m.source or "", m.target, m.read_only) for m in spec.mounts),
            command=spec.command,
            env=tuple((k, v or "") for k, v in spec.env),
        )
        return identity

    def start(self, container: str) -> None:
        now = self.there[container]
        self._do(f"start {now.name}")
        self.log.setdefault(container, list(READY_LOG))
        started = now._replace(state="running", started_at=1.0)
        self.there[container] = self.on_start.get(now.name, lambda c: c)(started)

    def stop(self, container: str, *, grace_s: float) -> None:
        now = self.there[container]
        self._do(f"stop {now.name}")
        self.there[container] = now._replace(state="exited", exit_code=0)

    def rename(self, container: str, name: str) -> None:
        self._do(f"rename {self.there[container].name} {name}")
        self.there[container] = self.there[container]._replace(name=name)

    def remove(self, container: str) -> None:
        gone = self.there.pop(container, None)
        self._do(f"remove {gone.name if gone else container}")

    def logs(self, container: str, *, tail: int | None = None) -> list[str]:
        lines = self.log.get(container, [])
        return lines if tail is None else lines[len(lines) - tail :] if tail else []

    def follow(self, container: str) -> FakeTail:
        found = self.container(container)
        return FakeTail(list(self.log.get(found.id if found else container, [])))

    def processes(self, container: str) -> tuple[int, ...]:
        found = self.container(container)
        return (int(found.id.removeprefix("id-")) + 100,) if found is not None else ()

    def read_file(self, container: str, path: str) -> bytes | None:
        now = self.there[container]
        return self.files.get((now.name, path))

    def read_image_files(self, reference: str, paths: Sequence[str]) -> dict[str, bytes | None]:
        self._do(f"read {len(paths)} of {reference}")
        return {path: self.images[reference].get(path) for path in paths}

    def packages(self, reference: str, names: Sequence[str]) -> dict[str, Package]:
        self._do(f"ask {reference}")
        found = {}
        for name in names:
            folders = [
                path.rpartition("/")[0] for path in self.images[reference] if path.endswith(f"/{name}/__init__.py")
            ]
            found[name] = Package(folders[0], version=self.vllm) if folders else Package(None, on_disk=False)
        return found

    def imported(self, container: str, files: Sequence[tuple[str, str | None]]) -> dict[str, ImportedFile] | None:
        if not self.python:
            return None
        return {path: self.seen.get(path) or self._imported(container, path, module) for path, module in files}

    def _imported(self, container: str, path: str, module: str | None) -> ImportedFile:
        content = self.read_file(container, path)
        md5 = None if content is None else hashlib.md5(content, usedforsecurity=False).hexdigest()
        return ImportedFile(md5, module, path)

    def _do(self, call: str) -> None:
        self.calls.append(call)
        if call in self.fail:
            raise self.fail[call]


class FakeTail:
    """A log that gives one line a look."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def read(self) -> list[str]:
        return [self._lines.pop(0)] if self._lines else []

    def close(self) -> None:
        self._lines.clear()


@dataclass
class FakeHost:
    """A Spark's memory, as ordered."""

    total: int = 120 * GIB
    available: int = 110 * GIB
    taken_ports: set[int] = field(default_factory=set)
    resident: dict[int, int] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    cached: int = 0
    activities: list[Activity] = field(default_factory=list)
    root: bool = True
    gpu: list[Gpu] = field(default_factory=lambda: [Gpu("NVIDIA GB10", "580.142", "12.1", None)])

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
        return self.resident

    def resident_bytes(self, pid: int) -> int | None:
        return None if pid in self.hidden else 0

    def activity(self, pid: int) -> Activity | None:
        return self.activities.pop(0) if self.activities else None

    def port_taken(self, address: str, port: int) -> bool:
        return port in self.taken_ports

    def program_runs(self, name: str) -> bool:
        return True

    def disk_free_bytes(self, path: Path) -> int | None:
        return 500 * GIB


@dataclass
class FakeHttp:
    """Servers by URL prefix: the names that they serve. Without an entry, the connection is refused."""

    serving: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    metrics: dict[str, str] = field(default_factory=dict)
    metrics_in_turn: list[str] = field(default_factory=list)

    statuses: dict[str, int] = field(default_factory=dict)
    """What a path answers in place of 200, by path."""

    def get(self, url: str, *, key: str | None = None, timeout_s: float = 5.0) -> Reply:
        self.asked.append(url)
        base, _, path = url.removeprefix("http://").partition("/")
        if path in self.statuses:
            return Reply(self.statuses[path], "ordered")
        name = self.serving.get(base)
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
        return Reply(200, json.dumps({"usage": {"completion_tokens": 4}}))


@dataclass
class FakeClock:
    """Time that passes only in sleeps; ``interrupt_at`` is when the operator presses Ctrl-C."""

    now: float = 0.0
    interrupt_at: float | None = None

    def monotonic(self) -> float:
        return self.now

    def epoch(self) -> float:
        return 1.0 + self.now  # FakeEngine starts its containers at 1.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.interrupt_at is not None and self.now >= self.interrupt_at:
            self.interrupt_at = None
            raise KeyboardInterrupt


@dataclass
class FakeLocks:
    """A lock that somebody may hold."""

    holder: str | None = None
    held: list[str] = field(default_factory=list)

    @contextmanager
    def hold(self, engine_id: str, *, waiting: Callable[[str], None]) -> Iterator[None]:
        if self.holder:
            waiting(self.holder)
        self.held.append(engine_id)
        yield


@dataclass
class FakeModels:
    """Models that are there unless named as missing."""

    missing: dict[str, str] = field(default_factory=dict)
    cache: set[str] = field(default_factory=set)

    def folder_problem(self, path: Path) -> str | None:
        return self.missing.get(path.name)

    def cached(self, cache: Path, repo: str, revision: str | None) -> Path | None:
        return cache / repo if repo in self.cache else None


@dataclass
class FakeFiles:
    """Files in a dict, with their modes."""

    written: dict[Path, tuple[bytes, int]] = field(default_factory=dict)
    removed: list[Path] = field(default_factory=list)

    def write(self, path: Path, content: bytes, *, mode: int) -> None:
        self.written[path] = (content, mode)

    def write_folder(self, path: Path, contents: Mapping[str, bytes], *, replace: bool) -> None:
        self.written |= {path / name: (content, 0o644) for name, content in contents.items()}

    def remove(self, path: Path) -> None:
        self.removed.append(path)


@dataclass
class FakeStore:
    """Records in a list; ``broken`` is what a damaged file says to whoever uses it."""

    kept: list[StoredRecord] = field(default_factory=list)
    broken: InputError | None = None

    def add(self, record: StoredRecord) -> None:
        self._use()
        self.kept.append(record)

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
