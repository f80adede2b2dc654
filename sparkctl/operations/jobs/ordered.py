"""The run of a job as it is ordered: what `job render` prints and what `job run` starts are made by the same words."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError
from sparkctl.mods.checksum import md5_of
from sparkctl.recipes.job import command
from sparkctl.recipes.job.scripts import MAX_BYTES
from sparkctl.world.job_labels import JobLabels, container_name
from sparkctl.world.partial_folder import partial_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.recipes.host.operator import Operator
    from sparkctl.recipes.job.command import RunOrder
    from sparkctl.recipes.job.loaded import LoadedJob
    from sparkctl.recipes.job.script import ScriptFile
    from sparkctl.world.host import Models

NOBODY: Final = 65534
"""The user that a job of root's runs as (nobody of every Linux)."""


class JobRun(NamedTuple):
    """One run: its ``id``, the ``digest`` of what was asked, the image, whose it is, and what it may take.

    ``owner`` is the operator's uid and gid; ``claim`` are the labels of the claim, ``memory_bytes`` its bytes (None:
    not known, and no limit).
    """

    id: str
    digest: str
    image: str
    owner: tuple[int, int]
    claim: Mapping[str, str] = MappingProxyType({})
    memory_bytes: int | None = None


def staged_script(operator: Operator, script: ScriptFile) -> Path:
    """Return where the copy of a script is that containers mount: an update of sparkctl changes none that runs."""
    return operator.state / "jobs" / "scripts" / script.md5 / script.path.name


def user(owner: tuple[int, int]) -> tuple[int, int]:
    """Return the uid and gid that a job runs as: the operator's own, and nobody's where that is root."""
    return (NOBODY, NOBODY) if owner[0] == 0 else owner


def output_folder(loaded: LoadedJob, operator: Operator) -> Path:
    """Return the folder that a job makes."""
    return operator.expand(loaded.job.output)


def ordered(world: World, models: Models, loaded: LoadedJob, folder: Path, run: JobRun) -> RunOrder:
    """Return the order of a run that reads the model in ``folder``.

    Raises:
        InputError: a link of the model leads to a place of which every image has its own.
    """
    output = output_folder(loaded, world.operator)
    partial = partial_of(output, run.id)
    labels = JobLabels(
        job=loaded.name,
        id=run.id,
        digest=run.digest,
        input=str(folder),
        partial=str(partial),
        output=str(output),
        overrides=loaded.overrides,
    )
    uid, gid = user(run.owner)
    return command.RunOrder(
        loaded=loaded,
        image=run.image,
        input=folder,
        partial=partial,
        script=staged_script(world.operator, loaded.script),
        user=f"{uid}:{gid}",
        container=container_name(loaded.name),
        labels={**labels.to_labels(), **run.claim},
        memory_bytes=run.memory_bytes,
        inputs=command.input_mounts(models, folder),
    )


def stage(world: World, script: ScriptFile) -> Path:
    """Write the copy of a script that containers mount, and return where it is.

    Raises:
        InputError: the script changed since it was read, it cannot be read, or its copy cannot be written.
    """
    path = staged_script(world.operator, script)
    kept = world.files.content(path)
    if kept is not None and md5_of(kept) == script.md5:
        return path
    content = regular_file.read_bytes(script.path, MAX_BYTES)
    if md5_of(content) != script.md5:
        raise InputError(f"{script.path} changed just now", hint="try again")
    world.files.write(path, content, mode=0o444)
    return path
