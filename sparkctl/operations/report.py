"""A file for a bug report: the host, the image, the command, the diagnosis and the log, without secrets."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import units
from sparkctl.base.errors import InputError, SparkctlError
from sparkctl.base.shown import HIDDEN, is_plain, may_be_secret, without_colours
from sparkctl.operations import deployed, secrets
from sparkctl.operations.start import kept_failures
from sparkctl.operations.start.failed import READ_LINES
from sparkctl.vllm import failures
from sparkctl.world import labels
from sparkctl.world.labels import LABEL_LAID_OVER, LABEL_SECRETS, PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.operations.context import World
    from sparkctl.operations.start.kept_failures import KeptFailure, KeptFailures
    from sparkctl.world.engine import Container
    from sparkctl.world.labels import ServiceLabels

_SHOWN: Final = 3000


class WrittenReport(NamedTuple):
    """A report that was written, and how large it is."""

    path: Path
    size_bytes: int


def report(world: World, name: str, path: Path | None = None) -> WrittenReport:
    """Write a bug report of a service to ``path``, else to NAME-report.md in the current folder.

    Raises:
        InputError: no service of this name is deployed and no log of a failed start of it is kept, or the file cannot
            be written.
        EngineError: the engine does not answer.
    """
    name = world.one_service(name)
    container, kept = deployed.find(world.engine, name), kept_failures.of_world(world)
    if container is None and kept.log(name) is None:
        message = f"no service {name} is deployed, and no log of a failed start of it is kept"
        raise InputError(message, hint="sparkctl ps lists the services")
    world.report.progress(name, "collecting", "")
    content = _text(world, name, container, kept).encode(errors="replace")
    path = path or Path(f"{name}-report.md")
    world.own_files.write(path.absolute(), content, mode=0o600)
    return WrittenReport(path, len(content))


def _text(world: World, name: str, container: Container | None, kept: KeptFailures) -> str:
    old, failure = (kept.log(name) or [])[-READ_LINES:], kept.failure(name)
    lines = world.engine.logs(container.id, tail=READ_LINES) if container is not None else old
    record = labels.read(container.labels) if container is not None else None
    if container is not None:
        world.hide_secrets_of(container)
    sections = {
        "Versions": lambda: _versions(world),
        "Host": lambda: _host(world),
        "Container": lambda: _container(container),
        "Recipe": lambda: _recipe(world, name, record),
        "Diagnosis": lambda: _diagnosis(lines, container),
        "Last failure": lambda: _last_failure(failure),
        "Measurements": lambda: _measurements(world, name),
        "Log": lambda: "\n".join(lines[-_SHOWN:]),
    }
    parts = [f"# {name}\n", *(f"## {title}\n\n```\n{_safely(make)}\n```\n" for title, make in sections.items())]
    return world.boundary.text(without_colours("\n".join(parts)))


def _safely(make: Callable[[], str]) -> str:
    """Return a section, or why it cannot be made: half a report is better than none."""
    try:
        return make().rstrip()
    except SparkctlError as error:
        return f"not known: {error.message}"


def _versions(world: World) -> str:
    info = world.engine.info()
    own = importlib.metadata.version("dgx-sparkctl")
    kernel = f"host {world.on}, through ssh" if world.on else f"kernel {platform.release()}"
    return f"sparkctl {own}\nPython {platform.python_version()}\n{info.kind} {info.version}\n{kernel}"


def _host(world: World) -> str:
    memory = world.host.memory()
    gpus = [
        f"{gpu.name}, driver {gpu.driver}, compute capability {gpu.compute_capability}" for gpu in world.host.gpus()
    ]
    total, available = units.format_gib(memory.total_bytes), units.format_gib(memory.available_bytes)
    return "\n".join([f"memory {available} available of {total}", *(gpus or ["no GPU reported"])])


def _container(container: Container | None) -> str:
    if container is None:
        return "there is none"
    shown = {
        "image": container.image,
        "image_id": container.image_id,
        "state": container.state,
        "exit_code": container.exit_code,
        "oom_killed": container.oom_killed,
        "error": container.error,
        "command": shlex.join(container.command),
        "mounts": [f"{source} -> {target}{' (read-only)' if ro else ''}" for source, target, ro in container.mounts],
        "env": sorted(name for name, _ in container.env),
        "labels": _labels(container),
    }
    return json.dumps(shown, indent=2, ensure_ascii=False)


def _labels(container: Container) -> dict[str, object]:
    """Return sparkctl's labels; for secrets, and for values that may be secrets, only the names."""
    found: dict[str, object] = {name: text for name, text in container.labels.items() if name.startswith(PREFIX)}
    record = labels.read(container.labels)
    if LABEL_SECRETS in found:
        found[LABEL_SECRETS] = list(record.secrets.digests) if record.secrets is not None else HIDDEN
    if LABEL_LAID_OVER in found:
        laid = record.laid_over
        found[LABEL_LAID_OVER] = list(map(secrets.shown, laid.overrides)) if laid is not None else HIDDEN
    return found


def _recipe(world: World, name: str, record: ServiceLabels | None) -> str:
    """Return the recipe as it is now, with what was laid over it for the container.

    Only the variables of known libraries are shown with their values.
    """
    if record is None:
        recipe = world.catalog.recipe(name).recipe
    else:
        overrides = record.laid_over.overrides if record.laid_over is not None else ()
        recipe = world.catalog.recipe(record.recipe or name, overrides).recipe
    shown = recipe.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    hidden = {name: str(value) for name, value in recipe.env.items() if may_be_secret(name)}
    world.boundary.know(value for value in hidden.values() if not is_plain(value))
    if hidden:
        shown["env"] |= dict.fromkeys(hidden, HIDDEN)
    return json.dumps(shown, indent=2, ensure_ascii=False)


def _diagnosis(lines: list[str], container: Container | None) -> str:
    found = failures.diagnose(lines)
    how = failures.ended(container, found) if container is not None else ""
    if found is None:
        return how or "the log says nothing of a failure"
    reached = f"while {found.phase}" if found.phase else None
    return "\n".join(filter(None, [found.failure, found.cause, found.fix, reached, *found.lines, how]))


def _last_failure(failure: KeptFailure | None) -> str:
    if failure is None:
        return "none is kept"
    return "\n".join(filter(None, [failure.told, failure.entry, failure.fix, *failure.lines]))


def _measurements(world: World, name: str) -> str:
    kept = [one for one in world.records.measurements() if one.service == name]
    rows = [
        f"{one.date}: loaded {one.loaded_bytes}, KV {one.kv_bytes}, steady {one.steady_bytes} bytes" for one in kept
    ]
    return "\n".join(rows) or "none"
