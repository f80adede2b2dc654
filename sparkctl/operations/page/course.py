"""The course of the host's memory over hours: a ring of samples, and its line. Pure."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.operations.page.view import MemorySample

EVERY_S: Final = 30.0
"""The time between two stored samples, in seconds, a choice."""
KEPT: Final = 1440
"""Samples that are kept: twelve hours."""
SHOWN: Final = 360
"""How many samples a line is drawn through, a choice: a line of that width cannot show more points."""
GAP_S: Final = 600.0
"""A longer time between two samples counts as not watched, a choice: the line is broken there. If all was watched, the
points of twelve hours are two minutes apart."""
WIDTH, HEIGHT = 1000, 120
"""Lengths of the drawing, in its own units."""


class CourseRing:
    """The samples of the last hours.

    Among samples less than ``EVERY_S`` after one, the one with the least available memory is kept: the course is there
    to show dips. ``samples`` are those of an earlier life of the process.
    """

    def __init__(self, kept: int = KEPT, every_s: float = EVERY_S, samples: Sequence[MemorySample] = ()) -> None:
        self._samples: deque[MemorySample] = deque(samples, maxlen=kept)
        self._every_s = every_s
        self._began = samples[-1].at if samples else float("-inf")

    def add(self, sample: MemorySample) -> None:
        """Keep a sample."""
        if sample.at - self._began >= self._every_s or sample.at < self._began or not self._samples:
            self._began = sample.at
            self._samples.append(sample)
        elif sample.available_bytes < self._samples[-1].available_bytes:
            self._samples[-1] = sample

    def samples(self) -> tuple[MemorySample, ...]:
        """Return the samples, the oldest first."""
        return tuple(self._samples)


def thinned(samples: Sequence[MemorySample], most: int = SHOWN) -> list[MemorySample]:
    """Return at most ``most`` of the samples: in each stretch the one with the least available, and always the last."""
    if len(samples) <= most:
        return list(samples)
    size = -(-len(samples) // (most - 1))
    found = [min(samples[at : at + size], key=lambda one: one.available_bytes) for at in range(0, len(samples), size)]
    return [*found, *samples[-1:]] if found[-1] != samples[-1] else found


def line(samples: Sequence[MemorySample]) -> str:
    """Return the line of what is in use, as the `d` of an SVG path; "" where there are fewer than two samples.

    It is broken where nobody watched.
    """
    return " ".join(f"M{' L'.join(run)}" for run in _runs(samples))


def area(samples: Sequence[MemorySample]) -> str:
    """Return the same as the border of what is below the line; "" as for ``line``."""
    return " ".join(f"M{_below(run[0])} L{' L'.join(run)} L{_below(run[-1])} Z" for run in _runs(samples))


def unwatched_s(samples: Sequence[MemorySample]) -> float:
    """Return for how long nobody watched, from the first sample to the last, in seconds."""
    apart = (later.at - one.at for one, later in pairwise(samples))
    return sum(one for one in apart if one > GAP_S)


def _runs(samples: Sequence[MemorySample]) -> Iterator[list[str]]:
    """Yield the points of each stretch that was watched, as an SVG path has them."""
    shown = thinned(samples)
    if len(shown) <= 1 or shown[-1].at <= shown[0].at:
        return
    first, span = shown[0].at, shown[-1].at - shown[0].at
    found: list[str] = []
    before = first
    for one in shown:
        if one.at - before > GAP_S:
            yield found
            found = []
        found.append(f"{_x(one.at, first, span):.1f},{_y(one):.1f}")
        before = one.at
    yield found


def _below(point: str) -> str:
    return f"{point.split(',', 1)[0]},{HEIGHT}"


def least(samples: Sequence[MemorySample]) -> MemorySample | None:
    """Return the moment at which least was available, None without samples."""
    return min(samples, key=lambda one: one.available_bytes, default=None)


def _x(at: float, first: float, span: float) -> float:
    return min(1.0, max(0.0, (at - first) / span)) * WIDTH


def _y(one: MemorySample) -> float:
    share = (one.total_bytes - one.available_bytes) / one.total_bytes if one.total_bytes else 0.0
    return HEIGHT * (1 - min(1.0, max(0.0, share)))
