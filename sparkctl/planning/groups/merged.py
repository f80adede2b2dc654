"""The logs of a group's ranks as one, in the order of time."""

from __future__ import annotations

from heapq import merge
from typing import TYPE_CHECKING

from sparkctl.vllm.boot_log import own_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def merged(logs: Sequence[Sequence[str]], skews_s: Sequence[float]) -> list[tuple[int, str]]:
    """Return the lines of all logs by time, each after the place of its log.

    A line without a time gets that of the line before it, and lines of one log stay in their order. ``skews_s`` says by
    how many seconds the clock of each log is ahead. vLLM's times are whole seconds: within one second the first log is
    first.
    """
    timed = (_timed(place, log, skew) for place, (log, skew) in enumerate(zip(logs, skews_s, strict=True)))
    return [(place, line) for _, place, _, line in merge(*timed)]


def _timed(place: int, log: Sequence[str], skew_s: float) -> Iterator[tuple[float, int, int, str]]:
    now = float("-inf")
    for number, line in enumerate(log):
        time = own_time(line)
        if time is not None:
            now = max(now, time - skew_s)
        yield now, place, number, line
