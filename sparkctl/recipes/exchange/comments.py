"""Sentences as comments of a file: split into lines, without invisible characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.shown import unseen

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDTH: Final = 118


def wrapped(text: str, width: int = _WIDTH) -> Iterator[str]:
    """Yield the lines of a comment, no longer than ``width`` unless it is one word; invisible characters go."""
    line = ""
    for word in "".join(" " if one.isspace() or unseen(one) else one for one in text).split():
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    if line:
        yield line


def comment(*sentences: str, mark: str = "# ") -> list[str]:
    """Return sentences as lines of comments, each beginning a line; a command, which begins with "$ ", stays whole."""
    found: list[str] = []
    for sentence in sentences:
        width = 2**20 if sentence.startswith("$ ") else _WIDTH - len(mark)
        found += [f"{mark}{line}".rstrip() for line in wrapped(sentence.removeprefix("$ "), width)]
    return found
