"""The simulated engine: containers as folders and local processes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sparkctl.base import private_folder, regular_file, units
from sparkctl.base.errors import EngineError
from sparkctl.base.real_path import real
from sparkctl.world import settings
from sparkctl.world.engine import Container, Creation, EngineInfo, Image, ImportedFile, OfferedImage, PullProgress
from sparkctl.world.labels import LABEL_RECIPE, LABEL_SERVICE
from sparkctl.world.sim import addresses, data, mounts, orders, pool
from sparkctl.world.sim.boot import context_of
from sparkctl.world.sim.flags import parse_arguments
from sparkctl.world.sim.folders import ContainerFolder, Record, containers, kill, locked, signalled, text_of
from sparkctl.world.sim.log import FileTail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.world.engine import Package
    from sparkctl.world.spec import ContainerSpec

PULL_STEPS: Final = 10
SHORTEST_ID: Final = 12
MOST_FILE: Final = 64 * units.MIB  # bytes of a file that is read in a container, as by a real engine
MOST_NAME: Final = 4096  # bytes of an image's reference
NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")  # docker's own rule (daemon/names)
PACKAGES: Final = Path(__file__).resolve().parents[3]


class SimEngine:
    """An engine in ``sim``, a folder. ``pull_s`` is how long a pull takes; ``environ`` is the operator's."""

    def __init__(self, sim: Path, environ: Mapping[str, str], *, pull_s: float = 1.0) -> None:
        self._sim = sim
        self._environ = environ
        self._pull_s = pull_s

    def info(self) -> EngineInfo:
        """Return who the engine is."""
        identity = hashlib.sha256(os.fsencode(real(self._sim))).hexdigest()[:12]
        return EngineInfo(
            kind="sim",
            id=f"sim-{identity}",
            version="simulated",
            default_runtime="nvidia",
            runtimes=("nvidia", "runc"),
            cdi_devices=pool.cdi_devices(pool.of_order(orders.machine(self._sim, self._environ))),
        )

    # --- images ---

    def image(self, reference: str) -> Image | None:
        """Return the image, or None when it was not pulled."""
        pulled = self._pulled(reference)
        kept = text_of(pulled, MOST_NAME)
        return None if kept is None else data.image(kept or reference)

    def offered(self, reference: str) -> OfferedImage:
        """Return what the registry has behind a name now: what was pulled, as simulated tags do not move."""
        if self._faults(reference).get("no_such_image"):
            message = f"cannot ask the registry for the image {reference}: there is no such image"
            raise EngineError(message, hint="simulated: ordered by the fault no_such_image")
        return OfferedImage(data.image(reference).id)

    def pull(self, reference: str) -> Iterator[PullProgress]:
        """Fetch an image; the iteration ends when it is there."""
        if self._faults(reference).get("no_such_image"):
            message = f"cannot fetch the image {reference}: there is no such image"
            raise EngineError(message, hint="simulated: ordered by the fault no_such_image")
        total = data.image(reference).size_bytes
        for step in range(1, PULL_STEPS + 1):
            time.sleep(self._pull_s / PULL_STEPS)
            yield PullProgress(total * step // PULL_STEPS, total, "Downloading")
        pulled = self._pulled(reference)
        private_folder.make(pulled.parent)
        pulled.write_text(reference)
        pulled.chmod(0o600)  # whatever the umask is

    def read_image_files(self, reference: str, paths: Sequence[str]) -> dict[str, bytes | None]:
        """Return files of an image without running it, None for one that is not there."""
        if self.image(reference) is None:
            raise _no_such_image(reference)
        faults = self._faults(reference)
        return {path: data.image_file(path, wrong=orders.wrong_bytes(faults, path)) for path in paths}

    def packages(self, reference: str, names: Sequence[str]) -> dict[str, Package]:
        """Return what the Python of an image says of some packages."""
        if self.image(reference) is None:
            raise _no_such_image(reference)
        return {name: data.package(reference, name) for name in names}

    def _pulled(self, reference: str) -> Path:
        return self._sim / "images" / data.image(reference).id.removeprefix("sha256:")

    # --- what there is ---

    def containers(self) -> list[Container]:
        """Return every container of the engine, running or not."""
        found = (_container(folder) for folder in containers(self._sim))
        return [container for container in found if container is not None]

    def container(self, name: str) -> Container | None:
        """Return the container with this name or id, or None."""
        folder = self._find(name)
        return None if folder is None else _container(folder)

    def creation(self, name: str) -> Creation | None:
        """Return how the container with this name or id was created, or None where there is no such container."""
        folder = self._find(name)
        record = None if folder is None else folder.record()
        return None if record is None else mounts.creation_of(record)

    def logs(self, container: str, *, tail: int | None = None) -> list[str]:
        """Return the last ``tail`` lines of the log (None: all); [] of a container that is not there any more."""
        folder = self._find(container)
        lines = (text_of(folder.log) or "").splitlines() if folder is not None else []
        return lines if tail is None else lines[max(0, len(lines) - tail) :]

    def follow(self, container: str) -> FileTail:
        """Return a reader of the log, since the last start, that does not wait."""
        folder = self._known(container)[0]
        run = folder.run()
        return FileTail(folder.log, run.log_from if run is not None else 0)

    def processes(self, container: str) -> tuple[int, ...]:
        """Return the process id of a running container; () when it does not run."""
        folder = self._find(container)
        run = folder.run() if folder is not None else None
        return (run.pid,) if folder is not None and run is not None and folder.runs() else ()

    def read_file(self, container: str, path: str) -> bytes | None:
        """Return a file as a process of the running container sees it, or None when there is none."""
        folder, record = self._known(container)
        if not folder.runs():
            raise EngineError(f"cannot read {path} in the container {record.name}: it does not run")
        ordered = self._faults(*_names(record))
        if not ordered.get("lost_mods"):
            source = mounts.source_of(record, path)
            if source is not None:
                return regular_file.read_bytes(source, MOST_FILE) if regular_file.is_there(source) else None
        image = self._faults(record.image) | ordered
        return data.image_file(path, wrong=orders.wrong_bytes(image, path))

    def imported(self, container: str, files: Sequence[tuple[str, str | None]]) -> dict[str, ImportedFile]:
        """Return what the Python of a running container makes of some files."""
        _, record = self._known(container)
        mounted = {target: read_only for _, target, read_only in record.mounts}
        seen = {path: self.read_file(container, path) for path, _ in files}
        return {
            path: ImportedFile(
                None if content is None else hashlib.md5(content, usedforsecurity=False).hexdigest(),
                origin=path,
                read_only=mounted.get(path),
            )
            for path, content in seen.items()
        }

    # --- what changes it ---

    def create(self, spec: ContainerSpec) -> str:
        """Create, without starting, the container and return its id."""
        if self.image(spec.image) is None:
            raise _no_such_image(spec.image)
        env = mounts.environment(spec, self._environ)
        if spec.name:
            _refuse_wrong(spec.name, f"create the container {spec.name}")
        mounts.check(mounts.needed(spec))
        try:
            private_folder.make(self._sim)
            with locked(self._sim, "engine.lock"):
                return self._write(spec, env)
        except OSError as error:
            message = f"cannot create the container {spec.name} in {self._sim}: {error.strerror}"
            raise EngineError(message, hint="free some space, or set SPARKCTL_SIM_DIR to another folder") from None

    def _write(self, spec: ContainerSpec, env: tuple[tuple[str, str], ...]) -> str:
        moment = time.time_ns()
        # The ids sort by age.
        identity = f"{moment:016x}{hashlib.sha256(f'{moment} {os.getpid()}'.encode()).hexdigest()[:8]}"
        name = spec.name or f"simulated_{identity[-8:]}"
        self._refuse_taken(name, f"create the container {name}")
        record = Record(
            id=identity,
            name=name,
            image=spec.image,
            command=spec.command,
            env=env,
            labels=spec.labels,
            mounts=tuple((m.source or "", m.target, m.read_only) for m in spec.mounts if m.kind == "bind"),
            sources=mounts.needed(spec),
            ports=tuple((p.container_port, p.host_port or 0, p.host_ip) for p in spec.ports if p.protocol == "tcp"),
            network=spec.network,
            settings=tuple(settings.of_spec(spec).items()),
            order=mounts.order_of(spec, name, env),
        )
        unfinished = self._sim / "containers" / f".{identity}"
        private_folder.make(unfinished)
        ContainerFolder(unfinished).write_record(record)
        unfinished.rename(unfinished.with_name(identity))
        return identity

    def start(self, container: str) -> None:
        """Start a container that was created."""
        with locked(self._sim, "engine.lock"):
            folder, record = self._known(container)
            if folder.runs():
                return
            told = self._told(record, self._faults(*_names(record)))
            mounts.check(record.sources)
            try:
                told |= pool.told(orders.machine(self._sim, self._environ), record)
                listens = addresses.listens(record, self._sim)
            except EngineError as error:
                folder.refuse(error.message)
                raise
            self._launch(record, listens, told)

    def stop(self, container: str, *, grace_s: float) -> None:
        """Ask a container to end, and kill it after ``grace_s`` seconds. One that is gone already is no error."""
        folder = self._find(container)
        if folder is not None and not signalled(folder, signal.SIGTERM, grace_s):
            kill(folder)

    def rename(self, container: str, name: str) -> None:
        """Give a container another name."""
        with locked(self._sim, "engine.lock"):
            folder, record = self._known(container)
            doing = f"rename the container {record.name} to {name}"
            _refuse_wrong(name, doing)
            if name == record.name:
                raise EngineError(f"cannot {doing}: that is its name")
            self._refuse_taken(name, doing)
            folder.rename(name)

    def remove(self, container: str) -> None:
        """Remove a container, killing it if it runs. One that is gone already is no error."""
        folder = self._find(container)
        if folder is None:
            return
        kill(folder)
        gone = folder.path.with_name(f".{folder.path.name}.removed")
        with suppress(FileNotFoundError):  # somebody else removed it at the same moment
            folder.path.rename(gone)
            shutil.rmtree(gone)

    # --- within ---

    def _find(self, name: str) -> ContainerFolder | None:
        for folder in containers(self._sim):
            record = folder.record()
            if record is not None and (name == record.name or _is_id(name, record.id)):
                return folder
        return None

    def _known(self, name: str) -> tuple[ContainerFolder, Record]:
        folder = self._find(name)
        record = folder.record() if folder is not None else None
        if folder is None or record is None:
            raise EngineError(f"there is no container {name}", hint="sparkctl ps shows those that there are")
        return folder, record

    def _refuse_taken(self, name: str, doing: str) -> None:
        owners = [one.id for one in self.containers() if one.name == name]
        if owners:
            message = f"cannot {doing}: the name {name} is taken by the container {owners[0][:SHORTEST_ID]}"
            raise EngineError(message, hint="choose another name, or remove that container if it is yours")

    def _faults(self, *names: str) -> dict[str, Any]:
        return orders.faults(orders.read(self._sim, self._environ), names)

    def _told(self, record: Record, ordered: Mapping[str, Any]) -> dict[str, str]:
        """Return what the server is told beside the container's environment."""
        takes = data.takes(record.command, _model_names(record))
        own = orders.faults(orders.variable(dict(record.env)), _names(record))
        faults = _drafting(record, ordered) | own | dict(ordered)
        figures = {"weights": takes.weights, "rest": takes.rest, "compiled": takes.compiled, "host": takes.host}
        told = {
            "SPARKCTL_SIM_TAKES": json.dumps(figures),
            "SPARKCTL_SIM_NOTE": f"simulated: takes {units.format_bytes(takes.weights)} of weights: {takes.source}",
            "SPARKCTL_SIM_CONTEXT": str(_context(record) or takes.context or 0),
            orders.VARIABLE: json.dumps(faults),
            **mounts.certificate(record),
        }
        version = data.properties(record.image).get("vllm")
        return told | ({"SPARKCTL_SIM_VERSION": str(version)} if version else {})

    def _launch(self, record: Record, listens: Sequence[tuple[str, int]], told: Mapping[str, str]) -> None:
        address, port = listens[0]
        at = addresses.served(address)
        extra = {**told, "SPARKCTL_SIM_LISTEN": f"[{at}]:{port}" if ":" in at else f"{at}:{port}"}
        said = self.launch([str(real(self._sim)), record.id, json.dumps(listens), json.dumps(extra)])
        if said:
            raise EngineError(f"the simulated container {record.name} did not start: {said}")

    def launch(self, arguments: Sequence[str]) -> str:
        """Start the process of a container (``process``) with its arguments; return why it did not start, else ""."""
        # Without the site: the process needs Python and this package, which is found in its working folder.
        done = subprocess.run(  # noqa: S603 - this Python, this package
            [sys.executable, "-S", "-m", "sparkctl.world.sim.process", *arguments],
            cwd=PACKAGES,
            env={"PATH": os.defpath},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
            check=False,
        )
        return (done.stderr.strip()[-500:] or f"exit code {done.returncode}") if done.returncode else ""


def _container(folder: ContainerFolder) -> Container | None:
    record = folder.record()
    if record is None:
        return None
    seen = Container(
        id=record.id,
        name=record.name,
        image=record.image,
        image_id=data.image(record.image).id,
        state="created",
        labels=dict(record.labels),
        mounts=record.mounts,
        command=record.command,
        env=record.env,
        settings=None if record.settings is None else dict(record.settings),
    )
    run = folder.run()
    if run is None:
        return seen._replace(error=folder.exit().error)
    if folder.runs():
        return seen._replace(state="running", started_at=run.started_at)
    end = folder.exit()
    return seen._replace(
        state="exited",
        exit_code=end.code,
        error=end.error,
        started_at=run.started_at,
        finished_at=end.finished_at,
    )


def _refuse_wrong(name: str, doing: str) -> None:
    if not NAME.fullmatch(name):
        hint = "two or more of the letters a to z and A to Z, digits, _ . and -, beginning with a letter or a digit"
        raise EngineError(f"cannot {doing}: {name} is no name for a container", hint=hint)


def _is_id(text: str, identity: str) -> bool:
    return len(text) >= SHORTEST_ID and identity.startswith(text)


def _names(record: Record) -> list[str]:
    labels = dict(record.labels)
    return [name for name in (labels.get(LABEL_RECIPE), labels.get(LABEL_SERVICE), record.name) if name]


def _model_names(record: Record) -> list[str]:
    """Return what the model goes by: its recipe, and the folder mounted where the server looks, or the repository."""
    wanted = parse_arguments(record.command).get("model", "")
    named = [Path(source).name for source, target, _ in record.mounts if target == wanted]
    return [*(named or [wanted.rpartition("/")[2]]), dict(record.labels).get(LABEL_RECIPE, "")]


def _context(record: Record) -> int | None:
    """Return the tokens that a model is made for, where its folder is on this machine and says so."""
    config = mounts.source_of(record, f"{parse_arguments(record.command).get('model', '')}/config.json")
    return None if config is None else context_of(config)


def _drafting(record: Record, ordered: Mapping[str, Any]) -> dict[str, Any]:
    """Return the acceptance of an image that drafts in vain, unless the file at fault is replaced."""
    path = data.drafting_file(record.image)
    if path is None:
        return {}
    replaced = not ordered.get("lost_mods") and mounts.source_of(record, path) is not None
    return {} if replaced else {"acceptance": data.properties(record.image)["broken-acceptance"]}


def _no_such_image(reference: str) -> EngineError:
    return EngineError(f"the engine does not have the image {reference}", hint="sparkctl up fetches it")
