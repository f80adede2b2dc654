"""The words of ``command`` and ``entrypoint`` where a compose file writes them as a text.

docker compose splits such a text itself (mattn/go-shellwords), which is not a shell: a backslash stands for the next
character even at the end of a line, ``#`` begins no comment, ``$(…)`` and backticks are kept literally, and everything
after ``;``, ``&``, ``|``, ``<`` or ``>`` is left out.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from sparkctl.base.errors import InputError

_SPACE: Final = " \t\r\n"
_PIECE: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    | (?P<single>'[^']*')
    | (?P<double>"(?:[^"\\]|\\.)*")
    | (?P<escaped>\\.)
    | (?P<asis>\$\([^()]*\) | `[^`]*`)
    | (?P<stop>[;&|<>])
    | (?P<plain>[^\s'"\\;&|<>()`]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


class SplitText(NamedTuple):
    """Words, and results of docker compose that the writer of the text did not intend.

    ``joined`` is whether a backslash joins lines, which makes a word that begins with a space or a line end; ``cut`` is
    the text behind a sign that ends the command.
    """

    words: tuple[str, ...]
    joined: bool = False
    cut: str = ""


def split(text: str) -> SplitText:
    """Return the words of a text. A backslash that joins two lines is left out, as its writer means it.

    Raises:
        InputError: a quote is not closed, or a bracket or a backtick stands outside of quotes: compose refuses them.
    """
    words: list[str] = []
    word: str | None = None
    joined = False
    position = 0
    while position < len(text):
        match = _PIECE.match(text, position)
        if match is None:
            raise _no_words(text, position)
        kind, piece = match.lastgroup, match[0]
        if kind == "stop":
            word = None if piece == ">" and (word or "")[:1].isdigit() else word  # 2>&1
            break
        position = match.end()
        if kind == "escaped" and piece[1] in _SPACE:
            joined, kind = True, "space"
        if kind == "space":
            words += [] if word is None else [word]
            word = None
        else:
            word = (word or "") + _meaning(kind, piece)
    words += [] if word is None else [word]
    return SplitText(tuple(words), joined, text[position:].strip())


def _meaning(kind: str | None, piece: str) -> str:
    if kind == "single":
        return piece[1:-1]
    if kind == "double":
        return _ESCAPED.sub(r"\1", piece[1:-1])
    return piece[1:] if kind == "escaped" else piece


def _no_words(text: str, position: int) -> InputError:
    found = text[position]
    if found in "\"'":
        return InputError(f"a {found} is opened and never closed")
    if found == "\\":
        return InputError("a backslash ends the command", hint="put the character after it, or drop it")
    return InputError(f"a {found} stands outside of quotes: docker compose does not read such a command")
