"""The output for a person or a program: results on stdout, messages on stderr, and nothing else prints.

On a simulated engine every line says so. On a terminal there are colours, and tables as wide as it is (``terminal``);
elsewhere everything is plain text. All of it passes the boundary (``sparkctl.base.shown``): no control character and no
secret reaches a terminal, a pipe or a file.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

from sparkctl.base import shown
from sparkctl.base.lazy import LazyModule, regex
from sparkctl.base.shown import Boundary
from sparkctl.base.units import GIB
from sparkctl.cli import columns
from sparkctl.cli.columns import cells
from sparkctl.cli.lines import SIMULATED, JsonLines, PlainLines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.cli import terminal
else:
    # It imports rich, which takes as long as click: output to a pipe does without.
    terminal = LazyModule("sparkctl.cli.terminal")

_WIDTH: Final = 72
_QUANTITY: Final = regex(r"(-?\d[\d.,]*( [KMGT]?i?B)?)?")


class Output:
    """The only printer; it also receives operations' reports (the port ``Report``). ``simulated`` marks each line.

    ``boundary`` knows no value until the session gives it that of the world.
    """

    def __init__(self, stdout: TextIO | None = None, stderr: TextIO | None = None, stdin: TextIO | None = None) -> None:
        self.boundary = Boundary()
        self._stdout = stdout or sys.stdout
        self._stderr = stderr or sys.stderr
        self._stdin = stdin or sys.stdin
        self._teller: PlainLines = PlainLines(self)
        self.simulated = False
        self.verbose = False

    @property
    def _watched(self) -> bool:
        """Whether a person watches stderr, where progress is shown."""
        return self._stderr.isatty() and os.environ.get("TERM") != "dumb"

    @property
    def unicode(self) -> bool:
        """Whether stdout can show every character; others are written as escapes."""
        return (self._stdout.encoding or "utf-8").lower().replace("-", "").startswith("utf")

    @property
    def answered(self) -> bool:
        """Whether a person can be asked: they read stderr, and type into stdin."""
        return self._stdin is not None and self._stdin.isatty() and self._stderr.isatty()

    def choice(self, asks: str, options: Sequence[str]) -> int:
        """Ask a person for one of several options, and return its position; an empty line chooses the first.

        Raises:
            EOFError: nobody answers any more.
        """
        self.say(asks)
        for number, option in enumerate(options, 1):
            self.say(f"  {number}  {option}")
        while True:
            self._stderr.write(f"{self._prefix}which (1 to {len(options)}, 1 unless said)? ")
            self._stderr.flush()
            line = self._stdin.readline()
            if not line:
                raise EOFError
            if not line.strip():
                return 0
            if line.strip().isdecimal() and 1 <= int(line.strip()[:9]) <= len(options):
                return int(line) - 1

    def result(self, text: str = "") -> None:
        """Print a result to stdout."""
        self._lines(self._stdout, self.boundary.text(text))

    def shell(self, text: str) -> None:
        """Print a command to paste to stdout, unchanged: it contains no invisible characters."""
        self._as_it_is(text)

    def plain(self, text: str) -> None:
        """Print to stdout without a prefix before each line: logs, without their colours, and Markdown."""
        self._as_it_is(self.boundary.text(shown.without_colours(text)))

    def json(self, value: object, indent: int | None = 2) -> None:
        """Print a value to stdout as JSON, in one line with ``indent`` None."""
        self._as_it_is(shown.json_text(self.boundary.value(value), indent=indent, ascii_only=not self.unicode))

    def say(self, text: str) -> None:
        """Tell the person, on stderr, what happens."""
        self._teller.say(self.boundary.text(text))

    def detail(self, text: str) -> None:
        """Report details that only ``-v`` shows."""
        if self.verbose:
            self._lines(self._stderr, self.boundary.text(text), "dim")

    def warn(self, text: str) -> None:
        """Tell, on stderr, what may be wrong."""
        self._teller.say(self.boundary.text(f"warning: {text}"), "yellow")

    def progress(
        self,
        service: str,
        phase: str,
        tail: str,
        fraction: float | None = None,
        facts: Mapping[str, float | None] | None = None,
    ) -> None:
        """Tell, on stderr, where a start or a pull is."""
        line = self.boundary.line
        self._teller.progress(line(service), line(phase), line(tail), fraction, facts)

    def error(self, text: str, hint: str | None = None) -> None:
        """Tell, on stderr, what is wrong and what to do."""
        self._lines(self._stderr, self.boundary.text(f"error: {text}"), "red")
        if hint:
            self._lines(self._stderr, self.boundary.text(f"  → {hint}"))

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table to stdout; columns of nothing but quantities are right-aligned."""
        headers, *rows = ([self.boundary.line(cell) for cell in row] for row in (headers, *rows))
        quantities = [all(_QUANTITY.fullmatch(row[index]) for row in rows) for index in range(len(headers))]
        right = [bool(rows) and only for only in quantities]
        if self._stdout.isatty():
            drawn = terminal.table(self._stdout, headers, rows, right, len(self._prefix))
        else:
            drawn = _plain(headers, rows, right)
        for line in drawn.split("\n"):
            self._write(self._stdout, [(line, "")])
        self._stdout.flush()

    def bar(self, parts: Sequence[tuple[str, int, str, str]]) -> None:
        """Draw sizes to scale on stderr, coloured on a terminal; each is (name, bytes, sign, colour).

        Two lines: the bar, and what its signs stand for in GiB.
        """
        whole = sum(size for _, size, _, _ in parts)
        width = min(_WIDTH, self._width(self._stderr) or _WIDTH)
        lines: list[list[tuple[str, str]]] = [[], []]
        place = drawn = 0
        for name, size, sign, colour in parts:
            place += size
            filled = round(place * width / max(whole, 1)) - drawn
            drawn += filled
            lines[0].append((sign * filled, colour))
            told = f" {self.boundary.line(name)} {size / GIB:.1f}"
            before = sum(len(text) for text, _ in lines[-1])
            if self._width(self._stderr) and before and before + len(told) + 3 > width:
                lines.append([])
            lines[-1] += [(f"{'  ' if lines[-1] else ''}{sign}", colour), (told, "")]
        for pieces in lines:
            self._write(self._stderr, pieces)

    @contextmanager
    def reporting(self, *, as_json: bool = False) -> Iterator[Output]:
        """Show, meanwhile, a moving line on a terminal; elsewhere, a plain line for each new phase and minute.

        For several starts at once there is a moving line for each.

        ``as_json``: on stdout, a line of JSON for each message, and for each moment of a start.
        """
        if as_json:
            self._teller = JsonLines(self)
        elif self._watched:
            self._teller = terminal.MovingLine(self, self._stderr)
        try:
            yield self
        finally:
            self._teller.close()
            self._teller = PlainLines(self)

    def line(self, text: str, style: str = "") -> None:
        """Print to stderr, below earlier output, a text that has passed the boundary."""
        self._lines(self._stderr, text, style)

    def _as_it_is(self, text: str) -> None:
        self._stdout.write(text + "\n")
        self._stdout.flush()

    @property
    def _prefix(self) -> str:
        return SIMULATED if self.simulated else ""

    def _width(self, stream: TextIO) -> int:
        """Return how many cells a line has beside the prefix; 0 if it is no terminal, where no line is too long."""
        return terminal.width(stream) - len(self._prefix) if stream.isatty() else 0

    def _lines(self, stream: TextIO, text: str, style: str = "") -> None:
        width = self._width(stream)
        for line in text.split("\n"):
            for piece in columns.wrapped(line, width) if width else [line]:
                self._write(stream, [(piece, style)])
        stream.flush()

    def _write(self, stream: TextIO, pieces: Sequence[tuple[str, str]]) -> None:
        """Print a line of texts, each with a style that only a terminal shows."""
        prefix = self._prefix
        if stream.isatty() and any(style for _, style in pieces):
            terminal.write(stream, [(prefix, "dim"), *pieces])
        else:
            stream.write(f"{prefix}{''.join(text for text, _ in pieces).rstrip()}\n")


def _plain(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Return a table as plain text, as wide as it is."""
    lines = [headers, *rows]
    widths = [max(cells(line[index]) for line in lines) for index in range(len(headers))]
    return "\n".join("  ".join(map(_padded, line, widths, right)) for line in lines)


def _padded(cell: str, width: int, right: bool) -> str:
    space = " " * (width - cells(cell))
    return space + cell if right else cell + space
