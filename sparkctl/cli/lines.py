"""Progress line by line, for people and for programs. What they print passes through ``output``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.cli.at_once import AtOnce

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.cli.output import Output

SIMULATED: Final = "simulated │ "
"""The beginning of each line on a simulated engine."""


class PlainLines:
    """Prints a line for each message, for each new phase of a start, and for each minute of it."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._told = AtOnce[tuple[str, int]]()

    def say(self, text: str, style: str = "") -> None:
        """Tell what was done."""
        self._output.line(text, style)
        self._told.said(text)

    def progress(
        self, service: str, phase: str, tail: str, fraction: float | None, facts: Mapping[str, float | None] | None
    ) -> None:
        """Tell where a start or a pull is."""
        del fraction
        head = f"{service}: {phase}"
        minute = int(((facts or {}).get("seconds") or 0) // 60)
        before, minutes = self._told.newest(service) or ("", 0)
        if head != before:
            self._output.line(head)
        elif minute > minutes:
            self._output.line(f"{head}  {tail}")
        self._told.tell(service, (head, minute))

    def close(self) -> None:
        """End it."""


class JsonLines(PlainLines):
    """For a program: a line of JSON for each moment, on stdout."""

    def say(self, text: str, style: str = "") -> None:
        """Tell what was done."""
        del style
        self._output.json({"said": text}, indent=None)

    def progress(
        self, service: str, phase: str, tail: str, fraction: float | None, facts: Mapping[str, float | None] | None
    ) -> None:
        """Tell where a start or a pull is."""
        moment = {"service": service, "phase": phase, "detail": tail, "fraction": fraction, **(facts or {})}
        self._output.json(moment, indent=None)
