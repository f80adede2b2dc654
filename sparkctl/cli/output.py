"""What a person or a program reads: results on stdout, talk on stderr, and nothing else prints.

On a simulated engine every line says so. Tables are rich's; where stdout is no terminal they are plain text.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sparkctl.base.units import GIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SIMULATED: Final = "simulated │ "
_PLAIN_WIDTH: Final = 200
_BAR: Final = 24
_WIDTH: Final = 72
_QUANTITY: Final = re.compile(r"(-?\d[\d.,]*( [KMGT]?i?B)?)?")


class Output:
    """The only printer, and what operations report to (the port ``Report``). ``simulated`` marks each line."""

    def __init__(self, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self._stdout = stdout or sys.stdout
        self._stderr = stderr or sys.stderr
        self._teller: PlainLines = PlainLines(self)
        self.simulated = False
        self.verbose = False

    @property
    def terminal(self) -> bool:
        """Whether a person watches stderr, where progress is shown."""
        return self._stderr.isatty() and os.environ.get("TERM") != "dumb"

    def result(self, text: str = "") -> None:
        """Print a result to stdout."""
        self._lines(self._stdout, text)

    def raw(self, text: str) -> None:
        """Print to stdout, byte for byte, what another program made: logs, a command to paste."""
        self._stdout.write(text + "\n")
        self._stdout.flush()

    def json(self, value: object) -> None:
        """Print a value to stdout as JSON."""
        self.raw(json.dumps(value, indent=2, ensure_ascii=False))

    def say(self, text: str) -> None:
        """Tell the person, on stderr, what happens."""
        self._teller.say(text)

    def detail(self, text: str) -> None:
        """Tell what only ``-v`` wants to know."""
        if self.verbose:
            self._lines(self._stderr, text, "dim")

    def warn(self, text: str) -> None:
        """Tell, on stderr, what may be wrong."""
        self._teller.say(f"warning: {text}", "yellow")

    def progress(
        self,
        service: str,
        phase: str,
        tail: str,
        fraction: float | None = None,
        facts: Mapping[str, float | None] | None = None,
    ) -> None:
        """Tell, on stderr, where a start or a pull is."""
        self._teller.progress(service, phase, tail, fraction, facts)

    def error(self, text: str, hint: str | None = None) -> None:
        """Tell, on stderr, what is wrong and what to do."""
        self._lines(self._stderr, f"error: {text}", "red")
        if hint:
            self._lines(self._stderr, f"  → {hint}")

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table to stdout; columns of nothing but quantities are right-aligned."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for index, header in enumerate(headers):
            numbers = bool(rows) and all(_QUANTITY.fullmatch(row[index]) for row in rows)
            table.add_column(header, justify="right" if numbers else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self._lines(self._stdout, _drawn(table, self._console(self._stdout)))

    def bar(self, parts: Sequence[tuple[str, int, str, str]]) -> None:
        """Draw sizes to scale on stderr, coloured on a terminal; each is (name, bytes, sign, colour).

        Two lines: the bar, and what its signs stand for in GiB.
        """
        whole = sum(size for _, size, _, _ in parts)
        line, legend, place, drawn = Text(), Text(), 0, 0
        for name, size, sign, colour in parts:
            place += size
            cells = round(place * _WIDTH / max(whole, 1)) - drawn
            drawn += cells
            line.append(sign * cells, colour)
            legend.append(f"{'  ' if legend else ''}{sign}", colour)
            legend.append(f" {name} {size / GIB:.1f}")
        for text in (line, legend):
            self._drawn(self._stderr, text)

    @contextmanager
    def reporting(self, *, as_json: bool = False) -> Iterator[Output]:
        """Show, meanwhile, one moving line on a terminal; elsewhere, a plain line for each new phase and minute.

        ``as_json``: on stdout, a line of JSON for whatever is said, and for each moment of a start.
        """
        if as_json:
            self._teller = JsonLines(self)
        elif self.terminal:
            self._teller = MovingLine(self, Console(file=self._stderr, highlight=False))
        try:
            yield self
        finally:
            self._teller.close()
            self._teller = PlainLines(self)

    def line(self, text: str, style: str = "") -> None:
        """Print to stderr, below what was printed before."""
        self._lines(self._stderr, text, style)

    def _drawn(self, stream: TextIO, text: Text) -> None:
        """Print a text with styles of its own, which only a terminal shows."""
        if stream.isatty():
            prefix = (SIMULATED, "dim") if self.simulated else ""
            self._console(stream).print(Text.assemble(prefix, text), soft_wrap=True)
        else:
            self._lines(stream, text.plain)

    def _console(self, stream: TextIO) -> Console:
        width = None if stream.isatty() else _PLAIN_WIDTH
        return Console(file=stream, highlight=False, width=width)

    def _lines(self, stream: TextIO, text: str, style: str = "") -> None:
        console = self._console(stream)
        prefix = SIMULATED if self.simulated else ""
        for line in text.split("\n"):
            if style and stream.isatty():
                console.print(Text.assemble((prefix, "dim"), (line, style)), soft_wrap=True)
            else:
                stream.write(f"{prefix}{line.rstrip()}\n")
        stream.flush()


class PlainLines:
    """A line for what is said, for each new phase, and for each minute that it goes on."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._head = ""
        self._minute = 0

    def say(self, text: str, style: str = "") -> None:
        """Tell what was done."""
        self._output.line(text, style)
        self._head = ""

    def progress(
        self, service: str, phase: str, tail: str, fraction: float | None, facts: Mapping[str, float | None] | None
    ) -> None:
        """Tell where a start or a pull is."""
        del fraction
        head = f"{service}: {phase}"
        minute = int(((facts or {}).get("seconds") or 0) // 60)
        if head != self._head:
            self._output.line(head)
        elif minute > self._minute:
            self._output.line(f"{head}  {tail}")
        self._head, self._minute = head, minute

    def close(self) -> None:
        """End it."""


class MovingLine(PlainLines):
    """On a terminal: what is said stays, and below it one line moves, from the first progress on."""

    def __init__(self, output: Output, console: Console) -> None:
        super().__init__(output)
        self._live = Live(console=console, transient=True, refresh_per_second=8)

    def say(self, text: str, style: str = "") -> None:
        """Tell what was done."""
        if not self._live.is_started:
            super().say(text, style)
            return
        self._live.console.print(Text.assemble(self._prefix, (text, style)))
        self._live.update("")

    def progress(
        self, service: str, phase: str, tail: str, fraction: float | None, facts: Mapping[str, float | None] | None
    ) -> None:
        """Tell where a start or a pull is."""
        del facts
        self._live.start()
        bar = "" if fraction is None else f"{'━' * int(fraction * _BAR):{_BAR}} {fraction:4.0%}  "
        line = f"{self._prefix}{service}: {phase}  {bar}{tail}"
        self._live.update(Text(line, no_wrap=True, overflow="ellipsis"))

    def close(self) -> None:
        """Take the moving line away."""
        self._live.stop()

    @property
    def _prefix(self) -> str:
        return SIMULATED if self._output.simulated else ""


class JsonLines(PlainLines):
    """For a program: a line of JSON for each moment, on stdout."""

    def say(self, text: str, style: str = "") -> None:
        """Tell what was done."""
        del style
        self._output.raw(json.dumps({"said": text}, ensure_ascii=False))

    def progress(
        self, service: str, phase: str, tail: str, fraction: float | None, facts: Mapping[str, float | None] | None
    ) -> None:
        """Tell where a start or a pull is."""
        moment = {"service": service, "phase": phase, "detail": tail, "fraction": fraction, **(facts or {})}
        self._output.raw(json.dumps(moment, ensure_ascii=False))


def _drawn(table: Table, like: Console) -> str:
    """Return the table as text, with colours only where the console has them."""
    buffer = io.StringIO()
    console = Console(
        file=buffer, width=like.width, force_terminal=like.is_terminal, no_color=like.no_color, highlight=False
    )
    console.print(table)
    return buffer.getvalue().rstrip("\n")
