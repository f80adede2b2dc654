"""Passes reports about starts on to the operator and to the desk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.planning.gateway.desk.events import StartGoesOn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparkctl.world.ports import Report


class ProgressTap:
    """A report that hands on everything, and tells ``heard`` how far starts are. Called in any thread."""

    def __init__(self, report: Report, heard: Callable[[StartGoesOn], None]) -> None:
        self._report = report
        self._heard = heard

    def say(self, text: str) -> None:
        """Tell what was done."""
        self._report.say(text)

    def warn(self, text: str) -> None:
        """Tell what may be wrong."""
        self._report.warn(text)

    def progress(
        self,
        service: str,
        phase: str,
        tail: str,
        fraction: float | None = None,
        facts: Mapping[str, float | None] | None = None,
    ) -> None:
        """Tell where a start is."""
        self._report.progress(service, phase, tail, fraction, facts)
        words = phase if fraction is None else f"{phase} {fraction:.0%}"
        self._heard(StartGoesOn(service, words, None if facts is None else facts.get("left_seconds")))
