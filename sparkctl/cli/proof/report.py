"""``sparkctl report``: a file for a bug report, with everything that helps and no secrets."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from sparkctl.base import units
from sparkctl.base.errors import InputError, SparkctlError
from sparkctl.operations import deployed, secrets
from sparkctl.operations.start.failed import READ_LINES
from sparkctl.vllm import failures
from sparkctl.world.spec import LABEL_RECIPE

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.cli.session import Session
    from sparkctl.world.engine import Container

_SHOWN: Final = 3000


@click.command
@click.argument("name")
@click.option("--output", type=click.Path(path_type=Path), help="The file to write (NAME-report.md here).")
@click.pass_obj
def command(session: Session, name: str, output: Path | None) -> None:
    """Write a file for a bug report: the host, the image, the command, the diagnosis and the log, without secrets.

    Read it before you give it to anybody: prompts that a server logged are in it.
    """
    container = deployed.find(session.world.engine, name)
    kept = session.world.operator.state / "logs" / f"{name}.log"
    if container is None and not kept.is_file():
        message = f"no service {name} is deployed, and no log of a failed start of it is kept"
        raise InputError(message, hint="sparkctl ps lists the services")
    with session.out.reporting():
        session.out.progress(name, "collecting", "")
        text = _report(session, name, container, kept)
    path = output or Path(f"{name}-report.md")
    session.world.files.write(path.absolute(), text.encode(errors="replace"), mode=0o600)
    session.out.say(f"wrote {path} ({units.format_bytes(len(text.encode()))}); read it before you give it to anybody")


def _report(session: Session, name: str, container: Container | None, kept: Path) -> str:
    lines = session.world.engine.logs(container.id, tail=READ_LINES) if container is not None else _read(kept)
    recipe = container.labels.get(LABEL_RECIPE, name) if container is not None else name
    sections = {
        "Versions": lambda: _versions(session),
        "Host": lambda: _host(session),
        "Container": lambda: _container(container),
        "Recipe": lambda: _recipe(session, recipe),
        "Diagnosis": lambda: _diagnosis(lines, container),
        "Measurements": lambda: _measurements(session, name),
        "Log": lambda: "\n".join(lines[-_SHOWN:]),
    }
    parts = [f"# {name}\n", *(f"## {title}\n\n```\n{_safely(make)}\n```\n" for title, make in sections.items())]
    return secrets.redacted("\n".join(parts), _hidden(session, container))


def _safely(make: Callable[[], str]) -> str:
    """Return a section, or why it cannot be made: half a report is better than none."""
    try:
        return make().rstrip()
    except SparkctlError as error:
        return f"not known: {error.message}"


def _hidden(session: Session, container: Container | None) -> list[str]:
    """Return the values that a reader must not see: stored secrets, the key, and what a container's env has of them."""
    values = [*session.world.stored_secrets.values(), session.world.api_key or ""]
    for name, value in container.env if container is not None else ():
        if any(word in name.upper() for word in ("TOKEN", "KEY", "SECRET", "PASSWORD")):
            values.append(value)
    return [*values, *(session.world.environ.get(name, "") for name in ("HF_TOKEN", secrets.API_KEY))]


def _read(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines()[-READ_LINES:]


def _versions(session: Session) -> str:
    info = session.world.engine.info()
    own = importlib.metadata.version("dgx-sparkctl")
    return (
        f"sparkctl {own}\nPython {platform.python_version()}\n{info.kind} {info.version}\nkernel {platform.release()}"
    )


def _host(session: Session) -> str:
    memory = session.world.host.memory()
    gpus = [
        f"{gpu.name}, driver {gpu.driver}, compute capability {gpu.compute_capability}"
        for gpu in session.world.host.gpus()
    ]
    total, available = units.format_gib(memory.total_bytes), units.format_gib(memory.available_bytes)
    return "\n".join([f"memory {available} available of {total}", *(gpus or ["no GPU reported"])])


def _container(container: Container | None) -> str:
    if container is None:
        return "there is none"
    labels = {name: value for name, value in container.labels.items() if name.startswith("sparkctl.")}
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
        "labels": labels,
    }
    return json.dumps(shown, indent=2, ensure_ascii=False)


def _recipe(session: Session, recipe: str) -> str:
    loaded = session.world.catalog.recipe(recipe)
    return loaded.recipe.model_dump_json(indent=2, by_alias=True, exclude_defaults=True)


def _diagnosis(lines: list[str], container: Container | None) -> str:
    found = failures.diagnose(lines)
    how = failures.ended(container) if container is not None else ""
    if found is None:
        return how or "the log says nothing of a failure"
    return "\n".join(filter(None, [found.failure, found.cause, found.fix, *found.lines, how]))


def _measurements(session: Session, name: str) -> str:
    kept = [one for one in session.world.records.measurements() if one.service == name]
    rows = [
        f"{one.date}: loaded {one.loaded_bytes}, KV {one.kv_bytes}, steady {one.steady_bytes} bytes" for one in kept
    ]
    return "\n".join(rows) or "none"
