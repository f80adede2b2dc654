"""An engine without an engine: containers in a dict, which keep the contract of the engines."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from sparkctl.base.errors import EngineError
from sparkctl.base.units import GIB
from sparkctl.world import settings
from sparkctl.world.engine import (
    Container,
    Creation,
    EngineInfo,
    Image,
    ImportedFile,
    OfferedImage,
    Package,
    PullProgress,
)
from sparkctl.world.spec import ContainerSpec, variables
from tests.support.fakes import FakeClock, FakeFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sparkctl.world.spec import Port

READY_LOG = ["Starting to load model /models/m...", "Application startup complete."]
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_SHORTEST_ID = 12


def dies(code: int = 1, *, oom: bool = False) -> Callable[[Container], Container]:
    """Return what a start makes of a container that dies at once."""
    return lambda container: container._replace(state="exited", exit_code=code, oom_killed=oom)


@dataclass
class FakeEngine:
    """What a start makes of a container is ordered by ``on_start``, and what it prints by ``prints``, by its name.

    ``there`` are the containers by id, ``log`` what they printed, and ``ordered`` all specs that were created, also of
    those that are gone. ``files`` are files of a container, by its name and their path, in place of a mount's or the
    image's. A call is refused by ``fail``. ``disk`` is the host's, and ``taken_ports`` are other processes'.
    """

    images: dict[str, dict[str, bytes]] = field(default_factory=dict)
    there: dict[str, Container] = field(default_factory=dict)
    ordered: dict[str, ContainerSpec] = field(default_factory=dict)
    log: dict[str, list[str]] = field(default_factory=dict)
    prints: dict[str, list[str]] = field(default_factory=dict)
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    on_start: dict[str, Callable[[Container], Container]] = field(default_factory=dict)
    elsewhere: str | None = None
    vllm: str | None = None
    python: bool = True
    seen: dict[str, ImportedFile] = field(default_factory=dict)
    fail: dict[str, EngineError] = field(default_factory=dict)
    away: EngineError | None = None
    """What is said to whoever asks for anything, while the engine does not answer."""
    environ: Mapping[str, str] = field(default_factory=dict)
    clock: FakeClock = field(default_factory=FakeClock)
    disk: FakeFiles = field(default_factory=FakeFiles)
    taken_ports: set[int] = field(default_factory=set)
    tagged: dict[str, str] = field(default_factory=dict)
    """The id of the image that a tag names now, where it is not the usual one."""
    digests: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The names of an image by its digest in registries, by its name here."""
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    """The labels of an image that was built."""
    comes: dict[str, bytes] = field(default_factory=dict)
    """The files of an image that is pulled."""
    registry: dict[str, OfferedImage] = field(default_factory=dict)
    """What the registry has behind a name now; it knows no other."""
    size: int = 9 * GIB
    """The bytes of each image."""
    creations: dict[str, Any] = field(default_factory=dict)
    """What else is said of how a container was created: what the image brings, and other settings."""
    _last_start: dict[str, int] = field(default_factory=dict)

    @property
    def created(self) -> list[ContainerSpec]:
        """All specs that were created, in their order."""
        return list(self.ordered.values())

    @property
    def specs(self) -> dict[str, ContainerSpec]:
        """The last spec that was created for each name."""
        return {spec.name: spec for spec in self.ordered.values()}

    def info(self) -> EngineInfo:
        self._answer()
        root = "/var/lib/docker"
        return EngineInfo("fake", "engine-1", "1", self.elsewhere, runtimes=("nvidia",), data_root=root)

    # --- images ------------------------------------------------------------------------------------------------------

    def image(self, reference: str) -> Image | None:
        name = reference.removeprefix("sha256:")
        if name not in self.images:
            return None
        layers = (hashlib.sha256(repr(sorted(self.images[name].items())).encode()).hexdigest(),)
        identity, labels = self._image_id(reference), self.labels.get(name, {})
        return Image(identity, self.digests.get(name, ()), self.size, labels, layers, "arm64")

    def _image_id(self, reference: str) -> str:
        """Return the id of an image; a reference that is an id is its own."""
        return reference if reference.startswith("sha256:") else self.tagged.get(reference, f"sha256:{reference}")

    def offered(self, reference: str) -> OfferedImage:
        self._do(f"ask the registry {reference}")
        if reference not in self.registry:
            message = f"cannot ask the registry for the image {reference}: the registry has no such image"
            raise EngineError(message, hint="check the name")
        return self.registry[reference]

    def pull(self, reference: str) -> Iterator[PullProgress]:
        self._do(f"pull {reference}")
        yield PullProgress(1, 2, "half")
        self.images[reference] = dict(self.comes)

    def saved(self, reference: str) -> Iterator[bytes]:
        self._do(f"save {reference}")
        files = {path: content.hex() for path, content in self._image(reference).items()}
        text = json.dumps([reference, files]).encode()
        yield from (text[at : at + 16] for at in range(0, len(text), 16))

    def load(self, pieces: Iterable[bytes]) -> None:
        text = b"".join(pieces)
        self._do("load")
        reference, files = json.loads(text)
        self.images[reference] = {path: bytes.fromhex(content) for path, content in files.items()}

    def tag(self, image: str, reference: str) -> None:
        self._do(f"tag {image} {reference}")
        self.images[reference] = self._image(image)
        self.digests[reference] = self.digests.get(image, ())

    def read_image_files(self, reference: str, paths: Sequence[str]) -> dict[str, bytes | None]:
        return {path: self._image(reference).get(path) for path in paths}

    def packages(self, reference: str, names: Sequence[str]) -> dict[str, Package]:
        self._do(f"ask {reference}")
        ends = {name: f"/{name}/__init__.py" for name in names}
        found = {name: [path for path in self._image(reference) if path.endswith(end)] for name, end in ends.items()}
        return {
            name: Package(paths[0].rpartition("/")[0], version=self.vllm) if paths else Package(None, on_disk=False)
            for name, paths in found.items()
        }

    # --- what there is -----------------------------------------------------------------------------------------------

    def containers(self) -> list[Container]:
        self._answer()
        return list(self.there.values())

    def container(self, name: str) -> Container | None:
        def called(one: Container) -> bool:
            return name in {one.name, one.id} or (len(name) >= _SHORTEST_ID and one.id.startswith(name))

        return next((one for one in self.there.values() if called(one)), None)

    def creation(self, name: str) -> Creation | None:
        found = self.container(name)
        if found is None:
            return None
        spec = self.ordered.get(found.id) or ContainerSpec(
            found.image, found.command, labels=tuple(found.labels.items())
        )
        entry = () if spec.entrypoint is None else (spec.entrypoint,)
        return Creation(replace(spec, name=found.name, env=found.env, env_files=()), entry, **self.creations)

    def logs(self, container: str, *, tail: int | None = None) -> list[str]:
        found = self.container(container)
        lines = list(self.log.get(found.id, [])) if found is not None else []
        return lines if tail is None else lines[max(0, len(lines) - tail) :]

    def follow(self, container: str) -> FakeTail:
        identity = self._found(container).id
        return FakeTail(self.log.get(identity, []), self._last_start.get(identity, 0))

    def processes(self, container: str) -> tuple[int, ...]:
        found = self.container(container)
        runs = found is not None and found.state == "running"
        return (100 + [*self.ordered, *self.there].index(found.id),) if found is not None and runs else ()

    def listening(self, address: str, port: int) -> bool:
        """Return whether a container that runs has this port of an address of the host."""
        taken = [one for state, ports in self._published() if state == "running" for one in ports]
        return any(one.host_port == port and _same(one.host_ip, address) for one in taken)

    def closed(self, address: str) -> bool:
        """Return whether all containers that publish the port of this address, one at least, do not run."""
        port = address.rpartition(":")[2]
        states = [state for state, ports in self._published() if port in {str(one.host_port) for one in ports}]
        return bool(states) and "running" not in states

    def read_file(self, container: str, path: str) -> bytes | None:
        now = self._found(container)
        if now.state != "running":
            raise EngineError(f"cannot read {path} in the container {now.name}: it is not running")
        if (now.name, path) in self.files:
            return self.files[now.name, path]
        over = [mount for mount in now.mounts if PurePosixPath(path).is_relative_to(mount[1])]
        if not over:
            return self.images.get(now.image, {}).get(path)
        source, target, _ = max(over, key=lambda mount: len(mount[1]))
        return self.disk.content(Path(source) / PurePosixPath(path).relative_to(target))

    def imported(self, container: str, files: Sequence[tuple[str, str | None]]) -> dict[str, ImportedFile] | None:
        now = self._found(container)
        return {p: self.seen.get(p) or self._imported(now, p, module) for p, module in files} if self.python else None

    def _imported(self, now: Container, path: str, module: str | None) -> ImportedFile:
        content = self.read_file(now.id, path)
        if content is None:
            return ImportedFile(None, module)
        read_only = {target: mode for _, target, mode in now.mounts}.get(path)
        return ImportedFile(hashlib.md5(content, usedforsecurity=False).hexdigest(), module, path, None, read_only)

    # --- what changes it ---------------------------------------------------------------------------------------------

    def create(self, spec: ContainerSpec) -> str:
        doing = f"create the container {spec.name}"
        self._do(f"create {spec.name}")
        given = (pair.partition("=") for pair in variables(spec, self.environ, self.disk.env_file) if "=" in pair)
        identity = hashlib.sha256(f"container {len(self.ordered)}".encode()).hexdigest()
        name = spec.name or f"fake_{identity[:8]}"
        self._refuse_name(name, doing)
        self._image(spec.image)
        self._refuse_sources(spec, doing)
        self.ordered[identity] = spec
        self.there[identity] = Container(
            identity,
            name,
            spec.image,
            self._image_id(spec.image),
            "created",
            dict(spec.labels),
            mounts=tuple((m.source or "", m.target, m.read_only) for m in spec.mounts),
            command=spec.command,
            env=tuple({key: value for key, _, value in given}.items()),
            settings=settings.of_spec(spec),
        )
        return identity

    def start(self, container: str) -> None:
        now = self._found(container)
        self._do(f"start {now.name}")
        if now.state == "running":
            return
        if now.id in self.ordered:
            self._refuse_sources(self.ordered[now.id], f"start the container {now.name}")
            self._refuse_ports(now, self.ordered[now.id].ports)
        log = self.log.setdefault(now.id, [])
        self._last_start[now.id] = len(log)
        log += self.prints.get(now.name, READY_LOG)
        begun = {"state": "running", "started_at": self.clock.epoch(), "finished_at": None, "exit_code": None}
        after = self.on_start.get(now.name, lambda c: c)(now._replace(**begun, oom_killed=False, error=""))
        self.there[now.id] = after if after.state == "running" else after._replace(finished_at=self.clock.epoch())

    def stop(self, container: str, *, grace_s: float) -> None:
        now = self.container(container)
        self._do(f"stop {now.name if now else container}")
        if now is not None and now.state == "running":
            self.there[now.id] = now._replace(state="exited", exit_code=0, finished_at=self.clock.epoch())

    def rename(self, container: str, name: str) -> None:
        now = self._found(container)
        self._do(f"rename {now.name} {name}")
        self._refuse_name(name, f"rename the container {now.name} to {name}")
        self.there[now.id] = now._replace(name=name)

    def remove(self, container: str) -> None:
        gone = self.container(container)
        self._do(f"remove {gone.name if gone else container}")
        if gone is not None:
            del self.there[gone.id]

    # --- refusals ----------------------------------------------------------------------------------------------------

    def _answer(self) -> None:
        if self.away is not None:
            raise self.away

    def _do(self, call: str) -> None:
        self._answer()
        self.calls.append(call)
        if call in self.fail:
            raise self.fail[call]

    def _found(self, container: str) -> Container:
        found = self.container(container)
        if found is None:
            raise EngineError(f"there is no container {container}")
        return found

    def _image(self, reference: str) -> dict[str, bytes]:
        name = reference.removeprefix("sha256:")
        if name not in self.images:
            raise EngineError(f"the engine does not have the image {reference}")
        return self.images[name]

    def _refuse_name(self, name: str, doing: str) -> None:
        if not _NAME.fullmatch(name):
            raise EngineError(f"cannot {doing}: {name} is no name for a container", hint="letters and digits")
        owner = next((one for one in self.there.values() if one.name == name), None)
        if owner is not None:
            message = f"cannot {doing}: the name {name} is taken by the container {owner.id[:_SHORTEST_ID]}"
            raise EngineError(message, hint="choose another name")

    def _refuse_sources(self, spec: ContainerSpec, doing: str) -> None:
        for mount in spec.mounts:
            needed = mount.kind == "bind" and not mount.create_source
            if needed and not self.disk.exists(Path(mount.source or "")):
                message = f"cannot {doing}: there is no {mount.source} on the engine's host to mount"
                raise EngineError(message, hint="create it")

    def _refuse_ports(self, now: Container, ports: Sequence[Port]) -> None:
        for port in ports:
            at = f"[{port.host_ip}]" if ":" in port.host_ip else port.host_ip or "0.0.0.0"  # noqa: S104  (shown)
            if self.listening(port.host_ip, port.host_port or 0) or port.host_port in self.taken_ports:
                text, hint = f"port {at}:{port.host_port} is taken", "serve on another port"
            elif not _is_here(port.host_ip):
                text, hint = f"{at} is no address of the engine's host", "ip address shows those that it has"
            else:
                continue
            code = 128 if now.exit_code == 0 else now.exit_code  # as docker has it
            self.there[now.id] = now._replace(error=text, exit_code=code)
            raise EngineError(f"cannot start the container {now.name}: {text}", hint=hint)

    def _published(self) -> list[tuple[str, tuple[Port, ...]]]:
        """Return the state and the published ports of each container that was created here."""
        return [(one.state, self.ordered[i].ports) for i, one in self.there.items() if i in self.ordered]


class FakeTail:
    """A log that gives one line a look."""

    def __init__(self, lines: list[str], seen: int) -> None:
        self._lines, self._seen = lines, seen

    def read(self) -> list[str]:
        came = self._lines[self._seen : self._seen + 1]
        self._seen += len(came)
        return list(came)

    def close(self) -> None:
        self._lines = []


def _same(one: str, other: str) -> bool:
    """Return whether a port of one address is the other's too."""
    return one == other or not {one, other}.isdisjoint({"", "0.0.0.0", "::"})  # noqa: S104  (compared)


def _is_here(address: str) -> bool:
    """Return whether the fake host has an address: it has the loopback's, and one network besides."""
    known = ipaddress.ip_address(address or "0.0.0.0")  # noqa: S104  (compared)
    return known.is_loopback or known.is_unspecified or known in ipaddress.ip_network("192.168.0.0/16")
