"""Several hosts served at once: each in a thread, while the report is told by one thread alone, as it wants it."""

from __future__ import annotations

import queue
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparkctl.world.ports import Report

T = TypeVar("T")
MOST: Final = 8
"""Hosts that are served at a time: a choice. One ssh takes a core to encrypt, and a Spark has 20."""


class QueuedReport:
    """A report that threads tell; what they tell waits in ``told`` for the one that hands it on."""

    def __init__(self) -> None:
        self.told: queue.SimpleQueue[Callable[[Report], None] | None] = queue.SimpleQueue()

    def say(self, text: str) -> None:
        """Tell what was done."""
        self.told.put(lambda report: report.say(text))

    def warn(self, text: str) -> None:
        """Tell what may be wrong."""
        self.told.put(lambda report: report.warn(text))

    def progress(
        self,
        service: str,
        phase: str,
        tail: str,
        fraction: float | None = None,
        facts: Mapping[str, float | None] | None = None,
    ) -> None:
        """Tell where something is."""
        self.told.put(lambda report: report.progress(service, phase, tail, fraction, facts))


def at_once(report: Report, acts: Mapping[str, Callable[[Report], T]]) -> dict[str, T]:
    """Do all of these acts at once, each with a report of its own, and return what they return, in their order.

    What an act raises is raised here, when all have ended. Whoever leaves earlier, by Ctrl-C, does not wait for them:
    they end with what they work on.
    """
    if len(acts) == 1:
        return {name: act(report) for name, act in acts.items()}
    queued = QueuedReport()
    pool = ThreadPoolExecutor(MOST)
    try:
        running = {name: pool.submit(partial(act, queued)) for name, act in acts.items()}
        for one in running.values():
            one.add_done_callback(lambda _: queued.told.put(None))
        left = len(running)
        while left:
            told = queued.told.get()
            if told is None:
                left -= 1
            else:
                told(report)
        return {name: one.result() for name, one in running.items()}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
