"""What is kept of a service that failed, after its container is gone: its log, how it ended, and why.

Two files of a service in one folder, NAME.log and NAME.json, those of its last failure. No secret is in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter, ValidationError

from sparkctl.base.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.vllm.failures import Diagnosis
    from sparkctl.world.engine import Container
    from sparkctl.world.ports import Files


@dataclass(frozen=True, slots=True)
class KeptFailure:
    """How a service ended, and why where that is known. ``at`` is when, in seconds since the epoch (None: not known).

    ``entry`` is of the catalogue of failures; '' where none knows it. ``phase`` is how far it had come.
    """

    ended: str
    at: float | None = None
    cause: str | None = None
    fix: str | None = None
    entry: str = ""
    phase: str | None = None
    lines: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """The failure in a sentence."""
        why = f": {self.cause}" if self.cause else ""
        return f"{self.ended}{f' on {self.day}' if self.day else ''}{why}"

    @property
    def day(self) -> str:
        """When it was, in this host's time; '' where that is not known."""
        try:
            return f"{datetime.fromtimestamp(self.at or 0, UTC).astimezone():%Y-%m-%d %H:%M}" if self.at else ""
        except (ValueError, OverflowError, OSError):
            return ""


_RECORD: Final = TypeAdapter(KeptFailure)


def failure_of(ended: str, container: Container | None, found: Diagnosis | None) -> KeptFailure:
    """Return what is kept of a failure: how it ended, of which container, and what its log says."""
    at = container.finished_at if container is not None else None
    if found is None:
        return KeptFailure(ended, at)
    return KeptFailure(ended, at, found.cause, found.fix, found.failure, found.phase, found.lines)


class KeptFailures:
    """The failures in one folder."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder

    def keep(self, name: str, failure: KeptFailure, log: Sequence[str]) -> Path | None:
        """Keep a service's failure and its log, without secrets already; return the log's path, None: it is not kept.

        Nothing that goes wrong here is an error of the start.
        """
        path = self._log(name)
        try:
            self._files.write(self._record(name), _RECORD.dump_json(failure), mode=0o600)
            self._files.write(path, "\n".join(log).encode(errors="replace"), mode=0o600)
        except InputError:
            return None
        return path if log else None

    def failure(self, name: str) -> KeptFailure | None:
        """Return the last failure of a service, None where none is kept or the file is damaged."""
        content = self._files.content(self._record(name)) if _is_plain(name) else None
        try:
            return None if content is None else _RECORD.validate_json(content)
        except ValidationError:
            return None

    def log(self, name: str) -> list[str] | None:
        """Return the log of a service's last failure, None where none is kept."""
        content = self._files.content(self._log(name)) if _is_plain(name) else None
        return None if content is None else content.decode(errors="replace").split("\n")

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _record(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _is_plain(name: str) -> bool:
    """Return whether a name leads to a file of the folder itself."""
    return "/" not in name and "\0" not in name


def of_world(world: World) -> KeptFailures:
    """Return what is kept on this host."""
    return KeptFailures(world.ports.files, world.operator.state / "logs")
