"""From a job to its container: what its script may see and do, as the words of one docker run command.

The container is as ``confined`` says, and has of the host its script with the library for scripts and the model, which
it can only read, and the folder that it makes.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.recipes.host_side.mounts import HostMount, with_links
from sparkctl.recipes.job.confined import INPUT, OUTPUT, ScriptCall, argument, confined
from sparkctl.world.docker_run import grammar
from sparkctl.world.spec import GpuRequest, Mount

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sparkctl.recipes.job.confined import ScriptCode
    from sparkctl.recipes.job.loaded import LoadedJob
    from sparkctl.world.host import Models
    from sparkctl.world.spec import ContainerSpec

_LONGEST: Final = 131_072 - 1
"""The largest word that a program can be given, in bytes (MAX_ARG_STRLEN of Linux)."""


class RunOrder(NamedTuple):
    """One run of a job.

    ``image`` is the reference or the id to run; ``code`` the staged copies of its script; ``user`` is UID:GID;
    ``labels`` go on the container as they are; ``memory_bytes`` is what it may take at most, None: no limit. ``inputs``
    are the mounts of the input with what its links lead to (``input_mounts``); (): it has no links that lead out of it.
    """

    loaded: LoadedJob
    image: str
    input: Path
    partial: Path
    code: ScriptCode
    user: str
    container: str
    labels: Mapping[str, str] = MappingProxyType({})
    memory_bytes: int | None = None
    inputs: tuple[HostMount, ...] = ()


def input_mounts(models: Models, folder: Path) -> tuple[HostMount, ...]:
    """Return the mounts of a model's folder and of what links in it lead to: a snapshot of the cache has its blobs.

    Raises:
        InputError: a link leads to a place of which the image has its own, or links lead on and on.
    """
    return tuple(with_links(models, folder, INPUT))


def words(order: RunOrder) -> tuple[str, ...]:
    """Return the docker run command; ``world.docker_run`` reads it back as ``spec``.

    Raises:
        InputError: the parameters are longer than a program can be given.
    """
    return tuple(grammar.words(spec(order)))


def spec(order: RunOrder) -> ContainerSpec:
    """Return the container of a run.

    Raises:
        InputError: the parameters are longer than a program can be given.
    """
    job = order.loaded.job
    call = ScriptCall(order.image, order.container, order.user, _given(order.loaded), order.labels, order.memory_bytes)
    return replace(
        confined(call),
        mounts=_mounts(order),
        gpus=_gpus(job.gpus),
        cdi_devices=(job.gpus.removeprefix("cdi:"),) if job.gpus.startswith("cdi:") else (),
    )


def _mounts(order: RunOrder) -> tuple[Mount, ...]:
    inputs = order.inputs or (HostMount(order.input, INPUT),)
    return (
        *order.code.mounts(),
        *(Mount(mount.target, str(mount.source), read_only=True) for mount in inputs),
        Mount(OUTPUT, str(order.partial)),
    )


def _given(loaded: LoadedJob) -> dict[str, object]:
    """Return what the script is given."""
    given: dict[str, object] = {"input": INPUT, "output": OUTPUT, "with": loaded.parameters}
    length = len(argument(given).encode())
    if length > _LONGEST:
        message = f"{loaded.name}: the parameters take {length:,} bytes, more than the {_LONGEST:,} of one word"
        raise InputError(message, hint="put long texts into a file that the script reads")
    return given


def _gpus(gpus: str) -> GpuRequest | None:
    if gpus == "none" or gpus.startswith("cdi:"):
        return None
    return GpuRequest(count=-1) if gpus == "all" else GpuRequest(device_ids=tuple(gpus.split(",")))
