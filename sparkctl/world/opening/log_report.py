"""A report for programs: what sparkctl tells goes to Python's logging."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from sparkctl.base.shown import Boundary

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOG: Final = logging.getLogger("sparkctl")
_LOG.addHandler(logging.NullHandler())


class LogReport:
    """Tells the logger ``sparkctl``: what was done as INFO, what may be wrong as WARNING, each moment as DEBUG.

    ``boundary`` hides secrets; it knows no value until ``connect`` gives it that of the world.
    """

    def __init__(self) -> None:
        self.boundary = Boundary()

    def say(self, text: str) -> None:
        """Tell what was done."""
        _LOG.info(self.boundary.text(text))

    def warn(self, text: str) -> None:
        """Tell what may be wrong."""
        _LOG.warning(self.boundary.text(text))

    def detail(self, text: str) -> None:
        """Tell of a call to the engine."""
        _LOG.debug(self.boundary.text(text))

    def progress(
        self,
        service: str,
        phase: str,
        tail: str,
        fraction: float | None = None,
        facts: Mapping[str, float | None] | None = None,
    ) -> None:
        """Tell where a start or a pull is."""
        del fraction, facts
        _LOG.debug(self.boundary.line(f"{service}: {phase}  {tail}"))
