"""The course of the host's memory as a file, with which the gateway's next life continues.

Nothing is decided by it, so a kill may lose minutes of it, and a damaged file is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter

from sparkctl.base.errors import InputError
from sparkctl.operations.page.course import EVERY_S, KEPT
from sparkctl.operations.page.view import MemorySample, TroubleOnPage
from sparkctl.operations.records import decoded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.operations.context import World

SCHEMA: Final = 1
WRITE_EVERY_S: Final = 300.0
"""The time between two writes, in seconds, a choice: each is synced to the disk, and a kill loses no more."""
_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class _KeptSamples:
    schema: int
    samples: list[MemorySample]


@cache
def _adapter() -> TypeAdapter[_KeptSamples]:
    return TypeAdapter(_KeptSamples)


class KeptCourse:
    """Reads and writes the samples. ``problem`` is what went wrong with that, None if nothing did."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.place: Path = world.operator.state / f"memory-course{'-sim' if world.simulated else ''}.json"
        self.problem: TroubleOnPage | None = None

    def read(self) -> tuple[MemorySample, ...]:
        """Return the samples of the last hours; none if they cannot be read, which ``problem`` and a warning say."""
        content = self._world.files.content(self.place)
        if content is None:
            return ()
        try:
            samples = _sound(decoded(_adapter(), content.decode(errors="replace")))
        except InputError as error:
            told = f"the course of the memory begins anew, for {self.place} is damaged: {error.message}"
            self.problem = TroubleOnPage(told, "nothing: the file is replaced within minutes")
            self._world.report.warn(told)
            return ()
        now = self._world.ports.clock.epoch()
        return tuple(one for one in samples if now - KEPT * EVERY_S <= one.at <= now)[-KEPT:]

    def write(self, samples: Sequence[MemorySample]) -> None:
        """Write the samples in the place of those that are there. Where that fails ``problem`` says so."""
        content = _adapter().dump_json(_KeptSamples(SCHEMA, list(samples[-KEPT:])))
        try:
            self._world.files.write(self.place, content, mode=_MODE)
        except InputError as error:
            told = f"the course of the memory is not kept: {error.message}"
            self.problem = TroubleOnPage(told, error.hint or "sparkctl doctor says more")
        else:
            self.problem = None


def _sound(kept: _KeptSamples) -> list[MemorySample]:
    """Return samples that are possible: no count is below 0, and no memory has more available than in total.

    Raises:
        InputError: one cannot be, or another sparkctl wrote them.
    """
    if kept.schema != SCHEMA:
        raise InputError(f"its schema is {kept.schema}, and this sparkctl knows {SCHEMA}")
    for one in kept.samples:
        if not 0 <= one.available_bytes <= one.total_bytes or min(one.held_bytes, one.claimed_bytes) < 0:
            raise InputError(f"what it says of the moment {one.at} cannot be")
    return kept.samples
