"""Where a copy is, told in bytes: not more often than somebody reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.units import format_bytes

if TYPE_CHECKING:
    from sparkctl.world.ports import Clock, Report

OFTEN_S: Final = 0.5
"""The time between two progress reports for one file: a choice. Pieces arrive a hundred times as often."""


class CopyMoments:
    """Tells a report how many of ``total`` bytes are ``done``; ``name`` is whose copy it is, ``phase`` what is done."""

    def __init__(self, report: Report, clock: Clock, name: str, phase: str, total: int) -> None:
        self.done = 0
        self._report = report
        self._clock = clock
        self._name = name
        self._phase = phase
        self._total = total
        self._began = clock.monotonic()
        self._doing = ""
        self._told: float | None = None

    def file(self, name: str) -> None:
        """Note which file comes now."""
        self._doing = name
        self._told = None

    def came(self, count: int) -> None:
        """Note more bytes."""
        self.at(self.done + count)

    def at(self, done: int) -> None:
        """Note how many bytes are done."""
        self.done = done
        seconds = self._clock.monotonic() - self._began
        if self._told is not None and seconds - self._told < OFTEN_S and done < self._total:
            return
        self._told = seconds
        tail = f"{format_bytes(done)} of {format_bytes(self._total)}{self._doing and f', {self._doing}'}"
        fraction = min(1.0, done / self._total) if self._total else None
        facts = {"seconds": round(seconds, 1), "bytes": done, "total_bytes": self._total}
        self._report.progress(self._name, self._phase, tail, fraction, facts)
