"""The docker run command of a job, to read or to paste."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.operations.jobs import image, ordered
from sparkctl.operations.jobs.memory.need import claim_labels
from sparkctl.operations.jobs.ordered import JobRun
from sparkctl.operations.jobs.runs.asked import image_key
from sparkctl.operations.jobs.shown import known_image, known_need
from sparkctl.recipes.job import command
from sparkctl.recipes.job.digest import input_digest, job_digest
from sparkctl.recipes.job.reading import input_source, load_job
from sparkctl.world.docker_run.spelling import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.recipes.job.command import RunOrder
    from sparkctl.recipes.job.loaded import LoadedJob
    from sparkctl.recipes.service import Source
    from sparkctl.world.spec import ContainerSpec

PASTED: Final = "pasted"
"""The id of a run whose command somebody pastes; `job run` gives each of its own another one."""
UNBUILT: Final = "sparkctl-job:unbuilt"
"""In the place of an image whose tag is not known before its base is here."""

_NOT_CHECKED: Final = (
    "what it makes is neither admitted before nor checked and named after: `sparkctl job run` does both"
)
_NO_LIMIT: Final = "what it takes is not known here, and the command limits no memory: `sparkctl job plan` asks the hub"


class RenderedJob(NamedTuple):
    """A job's command: its words, the container that they mean, and what is assumed or missing (``notes``)."""

    words: tuple[str, ...]
    spec: ContainerSpec
    notes: tuple[str, ...]


def render(
    world: World,
    name: str,
    overrides: Sequence[str] = (),
    *,
    stage: bool = False,
    owner: tuple[int, int] | None = None,
) -> RenderedJob:
    """Return the docker run command of a job; an engine is asked for its image, and not needed.

    ``stage`` writes the copies of the script and its library that the command mounts. ``owner`` is whose job it is,
    uid and gid; None: who runs this process.

    Raises:
        InputError: there is no such job, something is wrong with it, or the copy cannot be written.
    """
    loaded = load_job(world.catalog, name, overrides)
    for warning in loaded.warnings:
        world.report.warn(str(warning))
    source = input_source(loaded, world.disk_models, world.operator)
    folder = source.here or _wanted_folder(world, loaded, source)
    reference, there = known_image(world, loaded)
    taken = known_need(world, loaded, source)
    run = JobRun(
        id=PASTED,
        digest=_digest(world, loaded, source) if there else "",
        image=reference or UNBUILT,
        owner=owner or (os.geteuid(), os.getegid()),
        claim={} if taken is None else claim_labels(taken),
        memory_bytes=None if taken is None else taken.limit_bytes,
    )
    order = ordered.ordered(world, world.disk_models, loaded, folder, run)
    if stage:
        ordered.stage(world, loaded.script)
    doubt = () if taken is not None else (_NO_LIMIT,)
    notes = (*_missing(world, order, source, there=bool(there)), *doubt, _folder(order, run.owner), _NOT_CHECKED)
    return RenderedJob(command.words(order), command.spec(order), notes)


def _digest(world: World, loaded: LoadedJob, source: Source) -> str:
    """Return what `job run` would know the run by; "" where its input or its image is not here."""
    found = image.known_image(world, loaded)
    if found is None or source.here is None:
        return ""
    key = image_key(loaded, found, image.image_reference(world, loaded))
    return job_digest(loaded, key, input_digest(source.here))


def _wanted_folder(world: World, loaded: LoadedJob, source: Source) -> Path:
    """Return where a model ought to be that is not here: its folder, else its place in the cache."""
    if source.folder is not None:
        return source.folder
    repo = (loaded.job.input.repo or "").replace("/", "--")
    return world.operator.hub(None) / f"models--{repo}" / "snapshots" / (loaded.job.input.revision or "main")


def _missing(world: World, order: RunOrder, source: Source, *, there: bool) -> Iterator[str]:
    """Yield what the command names and is not there."""
    if order.image == UNBUILT:
        yield f"the image is not known before its base is here: docker pull {order.loaded.job.image.base}"
    elif not there:
        yield f"the image is not here: `sparkctl job run {order.loaded.name}` makes it"
    if source.missing is not None:
        yield f"the input is not here: {source.missing}"
    if world.files.content(order.code.script) is None:
        yield f"not there: {order.code.script}, the copy of {order.loaded.script.path}; --stage makes it"
    if order.code.library is not None and world.files.content(order.code.library) is None:
        yield f"not there: {order.code.library}, the copy of what scripts have in common; --stage makes it"


def _folder(order: RunOrder, owner: tuple[int, int]) -> str:
    """Return how the folder is made that the command writes."""
    partial = quote(str(order.partial))
    other = "" if order.user == f"{owner[0]}:{owner[1]}" else f" && chown {order.user} {partial}"
    return f"make the folder that it writes: mkdir -p {partial}{other}"
