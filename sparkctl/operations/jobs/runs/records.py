"""What runs are about to make, kept in the operator's state folder until they have: a kill leaves nothing unknown.

A record is written before the folder of its run is made, and goes when that has its name or is removed. The container
says the same by its labels; but between the two there is a moment in which only the record knows of the folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter

from sparkctl.base.errors import InputError
from sparkctl.operations.records import decoded
from sparkctl.world.partial_folder import is_partial

if TYPE_CHECKING:
    from sparkctl.operations.context import World

_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run: of which job, by which process, on which engine, and the folder that it writes."""

    job: str
    run: str
    engine: str
    process: str
    partial: str
    output: str

    @property
    def folder(self) -> Path:
        """The folder of its unfinished product."""
        return Path(self.partial)


@cache
def _adapter() -> TypeAdapter[RunRecord]:
    return TypeAdapter(RunRecord)


class RunRecords:
    """The records of one operator."""

    def __init__(self, world: World) -> None:
        self._files = world.ports.files
        self._folder = world.operator.state / "jobs" / "runs"

    def keep(self, one: RunRecord) -> None:
        """Keep a record.

        Raises:
            InputError: it cannot be written.
        """
        self._files.write(self._path(one.run), _adapter().dump_json(one), mode=_MODE)

    def forget(self, run: str) -> None:
        """Remove the record of a run; none is no error."""
        if self._files.content(self._path(run)) is not None:
            self._files.remove(self._path(run))

    def all(self, engine: str) -> list[RunRecord]:
        """Return the records of an engine's runs, by job; one that is damaged is none."""
        found = []
        for name in self._files.names(self._folder):
            content = self._files.content(self._folder / name)
            try:
                one = None if content is None else decoded(_adapter(), content)
            except InputError:
                continue
            if one is not None and one.engine == engine and name == f"{one.run}.json" and is_partial(one.folder):
                found.append(one)
        return sorted(found, key=lambda one: (one.job, one.run))

    def _path(self, run: str) -> Path:
        return self._folder / f"{run}.json"
