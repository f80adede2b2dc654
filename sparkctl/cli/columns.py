"""How text and tables are laid out on a terminal: nothing is cut off, and no word is broken. Pure."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Final, NamedTuple
from unicodedata import east_asian_width

if TYPE_CHECKING:
    from collections.abc import Sequence

GAP: Final = 2
"""Cells between two columns."""
LEAST: Final = 28
"""The least width: a narrower terminal gets this layout, and wraps the lines itself."""
_NAME: Final = 24
"""Up to this many characters of the first column, which names the row, stay on one line."""
_SHORT: Final = 12
"""A cell of up to this many characters stays on one line: a size, a state."""
_AS_IT_IS: Final = re.compile(r"\s+(sparkctl|docker|sudo) |\s*[→|]|.*\S {3,}\S")
"""Lines that are not broken: commands to paste, hints, excerpts of logs and files, rows of a table."""


class Layout(NamedTuple):
    """A table: the widths of the columns side by side, and the names of the columns shown below each row."""

    widths: tuple[int, ...]
    below: tuple[str, ...] = ()


def cells(text: str) -> int:
    """Return how many cells a text takes: Chinese, Japanese and Korean characters take two."""
    return len(text) if text.isascii() else sum(2 if east_asian_width(one) in "WF" else 1 for one in text)


def layout(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Layout:
    """Return how a table is shown within ``width`` cells.

    Columns get what they need; else those with several words wrap at them; else the last ones stand below each row.
    """
    columns = list(zip(headers, *rows, strict=True))
    least = [max(map(_least, column)) for column in columns]
    least[0] = max(least[0], *(cells(cell) for cell in columns[0] if cells(cell) <= _NAME))
    whole = [max(map(cells, column)) for column in columns]
    kept = len(columns)
    while kept > 1 and _sum(least[:kept]) > width:
        kept -= 1
    widths = whole[:kept]
    while _sum(widths) > width:
        widest = max(range(kept), key=lambda one: (widths[one] > least[one], widths[one]))
        if widths[widest] <= least[widest]:
            break
        widths[widest] -= 1
    return Layout(tuple(widths), tuple(headers[kept:]))


def below(names: Sequence[str], row: Sequence[str], width: int) -> list[str]:
    """Return the lines below a row: what stands in its last columns, each with its name before it."""
    lines = [""]
    values = row[len(row) - len(names) :]
    for name, value in zip(names, values, strict=True):
        if not value:
            continue
        told = f"{name} {value}".strip()
        longer = f"{lines[-1]}, {told}" if lines[-1] else told
        if lines[-1] and cells(longer) > width - GAP:
            lines[-1] += ","
            lines.append(told)
        else:
            lines[-1] = longer
    return [f"{' ' * GAP}{piece}" for line in filter(None, lines) for piece in wrapped(line, width - GAP)]


def wrapped(text: str, width: int) -> list[str]:
    """Return a line of text as lines of at most ``width`` cells, broken between words; a longer word stays whole.

    Commands to paste, and rows of tables, are not broken.
    """
    if cells(text) <= width or _AS_IT_IS.match(text):
        return [text]
    indent = len(text) - len(text.lstrip()) + GAP
    wrapper = textwrap.TextWrapper(max(width, LEAST), subsequent_indent=" " * indent)
    wrapper.break_long_words = wrapper.break_on_hyphens = False
    return wrapper.wrap(text) or [text]


def _least(cell: str) -> int:
    """Return the least width of a text in cells, with its words unbroken."""
    if len(cell) <= _SHORT:
        return cells(cell)
    return max((cells(word) for word in cell.split()), default=0)


def _sum(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)
