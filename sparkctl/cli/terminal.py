"""What only a terminal shows, by rich: colours, tables as wide as it is, a line that moves."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sparkctl.cli.output import SIMULATED, PlainLines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.cli.output import Output

_BAR: Final = 24


def write(stream: TextIO, pieces: Sequence[tuple[str, str]]) -> None:
    """Print a line of texts, each with its style."""
    Console(file=stream, highlight=False).print(Text.assemble(*pieces), soft_wrap=True)


def table(stream: TextIO, headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Return a table for the terminal ``stream``; ``right`` says which columns are right-aligned."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for header, aligned in zip(headers, right, strict=True):
        drawn.add_column(header, justify="right" if aligned else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    like, buffer = Console(file=stream), io.StringIO()
    console = Console(file=buffer, width=like.width, force_terminal=True, no_color=like.no_color, highlight=False)
    console.print(drawn)
    return buffer.getvalue().rstrip("\n")


class MovingLine(PlainLines):
    """What is said stays, and below it one line moves, from the first progress on."""

    def __init__(self, output: Output, stream: TextIO) -> None:
        super().__init__(output)
        console = Console(file=stream, highlight=False)
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
