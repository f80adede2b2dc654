"""The run of a job as it is ordered: what `job render` prints and what `job run` starts are made by the same words."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import regular_file
from sparkctl.base.errors import InputError
from sparkctl.mods.checksum import md5_of
from sparkctl.recipes.job import command
from sparkctl.recipes.job.confined import ScriptCode
from sparkctl.recipes.job.script_files import MAX_BYTES
from sparkctl.world.job_labels import JobLabels, container_name
from sparkctl.world.partial_folder import partial_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.recipes.host_side.operator import Operator
    from sparkctl.recipes.job.command import RunOrder
    from sparkctl.recipes.job.loaded import LoadedJob
    from sparkctl.recipes.job.script import ScriptFile, ScriptLibrary
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


def staged_code(operator: Operator, script: ScriptFile) -> ScriptCode:
    """Return where the copies are that containers mount: an update of sparkctl changes none that runs."""
    library = None if script.library is None else _copy(operator, script.library)
    return ScriptCode(_copy(operator, script), library)


def _copy(operator: Operator, file: ScriptFile | ScriptLibrary) -> Path:
    return operator.state / "jobs" / "scripts" / file.md5 / file.path.name


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
        code=staged_code(world.operator, loaded.script),
        user=f"{uid}:{gid}",
        container=container_name(loaded.name),
        labels={**labels.to_labels(), **run.claim},
        memory_bytes=run.memory_bytes,
        inputs=command.input_mounts(models, folder),
    )


def stage(world: World, script: ScriptFile) -> ScriptCode:
    """Write the copies of a script and its library that containers mount, and return where they are.

    Raises:
        InputError: one changed since it was read, it cannot be read, or its copy cannot be written.
    """
    files: list[ScriptFile | ScriptLibrary] = [script]
    files += [] if script.library is None else [script.library]
    for file in files:
        path = _copy(world.operator, file)
        kept = world.files.content(path)
        if kept is not None and md5_of(kept) == file.md5:
            continue
        content = regular_file.read_bytes(file.path, MAX_BYTES)
        if md5_of(content) != file.md5:
            raise InputError(f"{file.path} changed just now", hint="try again")
        world.files.write(path, content, mode=0o444)
    return staged_code(world.operator, script)
