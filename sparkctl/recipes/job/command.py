"""From a job to its container: what its script may see and do, as the words of one docker run command.

The container has no network, a read-only root, no capability, and of the host three mounts: the script and the model,
which it can only read, and the folder that it makes.
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.recipes.host.mounts import HostMount, with_links
from sparkctl.world.docker_run import grammar
from sparkctl.world.spec import ContainerSpec, GpuRequest, Mount

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sparkctl.recipes.job.loaded import LoadedJob
    from sparkctl.world.host import Models

INPUT: Final = "/input"
OUTPUT: Final = "/output"
SCRIPT: Final = "/job/script.py"
"""Where the model, the folder to fill and the script are in the container."""
ENVIRONMENT: Final = MappingProxyType(
    {
        "HF_HUB_OFFLINE": "1",  # without a network the libraries would wait for the hub
        "HOME": "/tmp",  # noqa: S108  (the container's own)
        "USER": "job",  # a user without an entry in passwd has no name, and torch asks for one
        "PYTHONUNBUFFERED": "1",  # a phase is told when it begins
        "PYTHONDONTWRITEBYTECODE": "1",  # the root is read-only
    }
)
_TMP: Final = ("/tmp", "exec,mode=1777")  # noqa: S108
"""The one place to write beside the output; what torch compiles is run from there. It counts as the job's memory."""
_LOG: Final = (("max-file", "2"), ("max-size", "16m"))
"""What the engine keeps of its log, the newest: the bars of a job of hours would fill a disk."""
_PIDS: Final = 16384
"""Threads count, too: torch starts one for each core, several times."""
_LONGEST: Final = 131_072 - 1
"""Bytes of one word that a program can be given (MAX_ARG_STRLEN of Linux)."""


class RunOrder(NamedTuple):
    """One run of a job.

    ``image`` is the reference or the id to run; ``script`` the staged copy; ``user`` is UID:GID; ``labels`` go on the
    container as they are; ``memory_bytes`` is what it may take at most, None: no limit. ``inputs`` are the mounts of
    the input with what its links lead to (``input_mounts``); (): it has no links that lead out of it.
    """

    loaded: LoadedJob
    image: str
    input: Path
    partial: Path
    script: Path
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
    return ContainerSpec(
        image=order.image,
        command=(SCRIPT, _argument(order.loaded)),
        name=order.container,
        entrypoint="python3",
        env=tuple(ENVIRONMENT.items()),
        labels=tuple(order.labels.items()),
        mounts=_mounts(order),
        gpus=_gpus(job.gpus),
        cdi_devices=(job.gpus.removeprefix("cdi:"),) if job.gpus.startswith("cdi:") else (),
        network="none",
        memory=order.memory_bytes,
        # The same as the memory: none of it is swap, in which a job would crawl for hours.
        memory_swap=order.memory_bytes,
        pids_limit=_PIDS,
        user=order.user,
        workdir=_TMP[0],
        read_only=True,
        cap_drop=("ALL",),
        security_opt=("no-new-privileges",),
        tmpfs=(_TMP,),
        log_driver="json-file",
        log_opts=_LOG,
        # Python as the first process of a container heeds no SIGTERM, and nothing half-made is kept anyway.
        stop_signal="SIGKILL",
    )


def _mounts(order: RunOrder) -> tuple[Mount, ...]:
    inputs = order.inputs or (HostMount(order.input, INPUT),)
    return (
        Mount(SCRIPT, str(order.script), read_only=True),
        *(Mount(mount.target, str(mount.source), read_only=True) for mount in inputs),
        Mount(OUTPUT, str(order.partial)),
    )


def _argument(loaded: LoadedJob) -> str:
    """Return what the script is given: JSON, as one word."""
    given = {"input": INPUT, "output": OUTPUT, "with": loaded.parameters}
    text = json.dumps(given, ensure_ascii=False)
    length = len(text.encode())
    if length > _LONGEST:
        message = f"{loaded.name}: the parameters take {length:,} bytes, more than the {_LONGEST:,} of one word"
        raise InputError(message, hint="put long texts into a file that the script reads")
    return text


def _gpus(gpus: str) -> GpuRequest | None:
    if gpus == "none" or gpus.startswith("cdi:"):
        return None
    return GpuRequest(count=-1) if gpus == "all" else GpuRequest(device_ids=tuple(gpus.split(",")))
