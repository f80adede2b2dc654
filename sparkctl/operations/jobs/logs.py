"""``job logs``: what a job's script and its tools print, of the run that is there or of the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.operations.jobs.runs.failed import log_path
from sparkctl.operations.jobs.runs.work import job_containers
from sparkctl.world.job_labels import container_name, is_job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.operations.context import World
    from sparkctl.world.engine import Container

_POLL_S: Final = 0.2


def logs(world: World, name: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:
    """Return the log of a job's run line by line; with ``follow`` until it ends. If the run is gone, its stored log.

    ``tail``: of what is there already, only so many lines.

    Raises:
        InputError: no run of this job is there, and no log of one is kept.
        EngineError: the engine does not answer.
    """
    container = world.engine.container(container_name(name))
    if container is not None and is_job(container.labels):
        return _followed(world, container, tail) if follow else iter(world.engine.logs(container.id, tail=tail))
    content = world.ports.files.content(log_path(world, name)) if "/" not in name and "\0" not in name else None
    if content is None:
        known = ", ".join(sorted({job for job, _ in job_containers(world.engine)})) or "none"
        message = f"no run of the job {name} is there, and no log of one is kept (running: {known})"
        raise InputError(message, hint="sparkctl job list lists the jobs")
    lines = content.decode(errors="replace").split("\n")
    world.report.warn(f"{name} does not run: this is the log of its last run")
    return iter(lines if tail is None else lines[max(0, len(lines) - tail) :])


def _followed(world: World, container: Container, tail: int | None) -> Iterator[str]:
    reader = world.engine.follow(container.id)
    try:
        lines = reader.read()
        yield from lines if tail is None else lines[max(0, len(lines) - tail) :]
        while (now := world.engine.container(container.id)) is not None and now.state == "running":
            world.ports.clock.sleep(_POLL_S)
            yield from reader.read()
        yield from reader.read()
    finally:
        reader.close()
