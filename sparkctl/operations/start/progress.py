"""What is told of a start while it goes on: a moment of it, as words and as figures. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base import units
from sparkctl.operations.start import readiness
from sparkctl.vllm import phases
from sparkctl.vllm.phases import Phase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.operations.start.readiness import Progress
    from sparkctl.operations.start.samples import Sampler

JOINING_S: Final = 5.0
"""In which the log of a start that goes on already has been read."""


class Moment(NamedTuple):
    """A moment of a start. ``detail`` is for a reader, the figures are for a program: seconds and bytes.

    ``phase_s`` is None for who joined in the phase that still goes on, ``left_s`` where no earlier start says it.
    """

    phase: str
    detail: str
    elapsed_s: float
    phase_s: float | None
    left_s: float | None
    available_bytes: int
    lowest_bytes: int

    @property
    def facts(self) -> Mapping[str, float | None]:
        """The figures, as ``up --json`` names them."""
        return {
            "seconds": round(self.elapsed_s, 1),
            "phase_seconds": None if self.phase_s is None else round(self.phase_s, 1),
            "left_seconds": None if self.left_s is None else round(self.left_s),
            "available_bytes": self.available_bytes,
            "lowest_bytes": self.lowest_bytes,
        }


def moment(progress: Progress, now: float, usual: Mapping[str, float], sampler: Sampler) -> Moment:
    """Return what is told at ``now``; ``usual`` are the seconds of each phase of an earlier start of the same."""
    still_s = readiness.stalled_s(progress, now)
    elapsed_s = progress.before_s + now - progress.started
    joined = progress.before_s > 0 and progress.phase_since <= progress.started + JOINING_S
    # A start begins with its container, whoever watches it from when on.
    phase_s = elapsed_s if progress.phase is Phase.STARTING else None if joined else now - progress.phase_since
    left_s = phases.left_s(usual, progress.phase, elapsed_s)
    times = [] if phase_s is None else [units.format_duration(phase_s)]
    times.append(f"{units.format_duration(elapsed_s)} in all")
    if still_s:
        of_what = "log line, CPU or disk read" if sampler.reads_seen else "log line or CPU (disk reads are hidden)"
        times.append(f"no {of_what} for {units.format_duration(still_s)}")
    elif left_s >= 1:
        times.append(f"about {units.format_duration(left_s)} left")
    available, lowest = units.format_gib(sampler.available_bytes), units.format_gib(sampler.lowest_bytes)
    return Moment(
        phase=f"stalled while {progress.phase}" if still_s else str(progress.phase),
        detail="  ".join(
            filter(None, [progress.detail, ", ".join(times), f"{available} available, {lowest} at its lowest"])
        ),
        elapsed_s=elapsed_s,
        phase_s=phase_s,
        left_s=left_s if usual and not still_s else None,
        available_bytes=sampler.available_bytes,
        lowest_bytes=sampler.lowest_bytes,
    )
