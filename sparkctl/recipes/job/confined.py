"""The container of a script that a job or an evaluation runs: its command, and what it may do. Pure.

It has a user of its own, a read-only root and no capability, can become nobody else, and sees of the host what it is
given. Without a word of who runs it, it has no network.
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.recipes.job.script import LIBRARY
from sparkctl.world.spec import ContainerSpec, Mount

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

INPUT: Final = "/input"
OUTPUT: Final = "/output"
SCRIPT: Final = "/job/script.py"
"""Where the model, the folder to fill and the script are in the container."""
BESIDE: Final = f"/job/{LIBRARY}.py"
"""Where the library for scripts is: Python looks for modules in the folder of the script that it runs."""
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
"""The one place to write beside the output; what torch compiles is run from there. It counts as the script's memory."""
_LOG: Final = (("max-file", "2"), ("max-size", "16m"))
"""The newest part of its log that the engine keeps: the progress bars of hours would fill a disk."""
_PIDS: Final = 16384
"""Threads count, too: torch starts one for each core, several times."""


class ScriptCode(NamedTuple):
    """The staged copies of a script and of the library for scripts; None where the script does not name it."""

    script: Path
    library: Path | None = None

    def mounts(self) -> tuple[Mount, ...]:
        """Return how the container gets them."""
        script = Mount(SCRIPT, str(self.script), read_only=True)
        return (script,) if self.library is None else (script, Mount(BESIDE, str(self.library), read_only=True))


class ScriptCall(NamedTuple):
    """What runs, and who: ``image`` is the reference or the id, ``given`` what the script gets, ``user`` is UID:GID.

    ``memory_bytes`` is what it may take at most, None: no limit.
    """

    image: str
    container: str
    user: str
    given: Mapping[str, object]
    labels: Mapping[str, str]
    memory_bytes: int | None


def confined(call: ScriptCall) -> ContainerSpec:
    """Return the container without its mounts and devices, and with no network."""
    return ContainerSpec(
        image=call.image,
        command=(SCRIPT, argument(call.given)),
        name=call.container,
        entrypoint="python3",
        env=tuple(ENVIRONMENT.items()),
        labels=tuple(call.labels.items()),
        network="none",
        memory=call.memory_bytes,
        # The same as the memory, so that none of it is swap, in which a script would crawl for hours.
        memory_swap=call.memory_bytes,
        pids_limit=_PIDS,
        user=call.user,
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


def argument(given: Mapping[str, object]) -> str:
    """Return what the script is given: JSON, as one word."""
    return json.dumps(given, ensure_ascii=False)
