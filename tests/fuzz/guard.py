"""What the guard, the agent and the commands read of each other, of whatever bytes it is made."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Final

from sparkctl.operations.guard import status
from sparkctl.operations.guard.alone import state, victims_file
from sparkctl.operations.guard.alone.lines import KILL
from sparkctl.operations.guard.alone.record import Deed
from sparkctl.world.local.disk import DiskFiles

LIST: Final = json.dumps(
    {
        "schema": 1,
        "lines": {"reserve": 3 << 30, "act": 2 << 30, "floor": 1 << 30},
        "starting": False,
        "victims": [{"name": "a", "container": "c" * 64, "priority": 1, "pids": [[2, 3]], "cgroup": ""}],
    }
).encode()
STATE: Final = state.MAGIC + (1).to_bytes(8, "little") + bytes(state.SIZE - 24) + (1).to_bytes(8, "little")
ACTION: Final = Deed(1.0, KILL, 3).line().encode()


def listed(data: bytes) -> None:
    """Read a list of victims."""
    with suppress(victims_file.RefusedFileError):
        victims_file.parsed(data)


def acted(data: bytes) -> None:
    """Read a file of actions."""
    status.actions(_Holding(data), Path("/run"))


class _Holding(DiskFiles):
    """Files that all have the same bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def content(self, path: Path) -> bytes | None:
        return self._data
