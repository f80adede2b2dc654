"""Features of a terminal only, by rich: colours, tables as wide as it is, a line that moves."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sparkctl.cli import columns
from sparkctl.cli.at_once import AtOnce
from sparkctl.cli.lines import SIMULATED, PlainLines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.cli.output import Output

_BAR: Final = 24


def write(stream: TextIO, pieces: Sequence[tuple[str, str]]) -> None:
    """Print a line of texts, each with its style."""
    Console(file=stream, highlight=False).print(Text.assemble(*pieces), soft_wrap=True)


def width(stream: TextIO) -> int:
    """Return how many cells a line of a terminal has."""
    return Console(file=stream).width


def table(
    stream: TextIO, headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool], prefix: int
) -> str:
    """Return a table for the terminal ``stream``; ``right`` says which columns are right-aligned.

    ``prefix`` cells of each line are used already. Columns that do not fit side by side stand below their row.
    """
    like = Console(file=stream)
    room = max(columns.LEAST, like.width - prefix)
    laid = columns.layout(headers, rows, room)
    side = len(laid.widths)
    buffer = io.StringIO()
    wide = max(room, sum(laid.widths) + columns.GAP * side)
    console = Console(file=buffer, width=wide, force_terminal=True, no_color=like.no_color, highlight=False)
    drawn = _columns(headers, laid.widths, right)
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row[:side]))
        if laid.below:
            console.print(drawn)
            drawn = _columns(headers, laid.widths, right, headed=False)
            for line in columns.below(laid.below, row, room):
                console.print(Text(line), soft_wrap=True)
    if not laid.below or not rows:
        console.print(drawn)
    return "\n".join(line.rstrip() for line in buffer.getvalue().rstrip("\n").split("\n"))


def _columns(headers: Sequence[str], widths: Sequence[int], right: Sequence[bool], *, headed: bool = True) -> Table:
    drawn = Table(box=None, pad_edge=False, padding=(0, columns.GAP, 0, 0), header_style="bold", show_header=headed)
    for header, wide, aligned in zip(headers, widths, right, strict=False):
        drawn.add_column(header, justify="right" if aligned else "left", overflow="fold", width=wide)
    return drawn


class MovingLine(PlainLines):
    """Messages stay on the screen, and below them a line moves for each start, from its first progress on."""

    def __init__(self, output: Output, stream: TextIO) -> None:
        super().__init__(output)
        console = Console(file=stream, highlight=False)
        self._lines = AtOnce[str]()
        self._live = Live(console=console, transient=True, refresh_per_second=8)

    def say(self, text: str, style: str = "") -> None:
        """Tell what was done."""
        if not self._live.is_started:
            super().say(text, style)
            return
        self._live.console.print(Text.assemble(self._prefix, (text, style)))
        self._lines.said(text)
        self._update()

    def progress(
        self, service: str, phase: str, tail: str, fraction: float | None, facts: Mapping[str, float | None] | None
    ) -> None:
        """Tell where a start or a pull is."""
        del facts
        self._live.start()
        bar = "" if fraction is None else f"{'━' * int(fraction * _BAR):{_BAR}} {fraction:4.0%}  "
        self._lines.tell(service, f"{service}: {phase}  {bar}{tail}")
        self._update()

    def _update(self) -> None:
        room = self._live.console.width - len(self._prefix)
        told: list[str] = []
        for line in self._lines.all:
            told += [line] if len(line) <= room else columns.wrapped(" ".join(line.split()), room)
        self._live.update(Text("\n".join(f"{self._prefix}{piece}" for piece in told), no_wrap=True, overflow="fold"))

    def close(self) -> None:
        """Take the moving line away."""
        self._live.stop()

    @property
    def _prefix(self) -> str:
        return SIMULATED if self._output.simulated else ""
