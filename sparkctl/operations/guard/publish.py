"""The agent's message to the guard: the list of victims, written whole and only if it has changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError
from sparkctl.operations.guard.alone import victims_file

if TYPE_CHECKING:
    from sparkctl.operations.guard.alone.places import Places
    from sparkctl.operations.guard.alone.victims_file import Victims
    from sparkctl.world.ports import Files


def written(victims: Victims) -> bytes:
    """Return the file of a list.

    Raises:
        victims_file.RefusedFileError: the guard would not read it.
    """
    lines = victims.lines
    document = {
        "schema": victims_file.SCHEMA,
        "lines": None if lines is None else {"reserve": lines.reserve, "act": lines.act, "floor": lines.floor},
        "starting": victims.starting,
        "victims": [
            {
                "name": one.name,
                "container": one.container,
                "priority": one.priority,
                "pids": [list(pid) for pid in one.pids],
                "cgroup": one.cgroup,
            }
            for one in victims.victims
        ],
    }
    text = json.dumps(document).encode()
    if victims_file.parsed(text) != victims:
        raise victims_file.RefusedFileError("what was written would be read as something else")
    return text


def publish(files: Files, places: Places, victims: Victims) -> bool:
    """Write the victims' file of a run folder unless it says the same already; return whether it was written.

    Raises:
        InputError: the guard would not read it, there is no permission, or no room.
    """
    try:
        text = written(victims)
    except victims_file.RefusedFileError as error:
        raise InputError(f"the list of victims for the guard: {error}") from None
    path = Path(places.victims)
    if files.content(path) == text:
        return False
    files.write(path, text, mode=0o644)
    return True


def withdraw(files: Files, places: Places) -> None:
    """Remove the victims' file: the guard goes on with nobody to end, and says so."""
    files.remove(Path(places.victims))
