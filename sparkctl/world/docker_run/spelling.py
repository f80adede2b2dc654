"""How lists of words and of fields are written: shell text, and the CSV inside docker's ``--mount`` and ``--gpus``."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.base.lazy import regex
from sparkctl.base.shown import unseen

if TYPE_CHECKING:
    from collections.abc import Iterable

# POSIX shell, chapter 2.2 (quoting) and 2.3 (tokens). Python's shlex is no help: it keeps an escaped line end as a
# word of its own, starts a comment inside a word, and keeps the backslash of "\$".
_TOKEN: Final = regex(
    r"""
      (?P<space>[ \t\n]+)
    | (?P<joined>\\\n)
    | (?P<octal>\$'(?:[^'\\]|\\[0-7]{3})*')
    | (?P<escaped>\\.)
    | (?P<single>'[^']*')
    | (?P<double>"(?:[^"\\$`]|\\.|\$(?![A-Za-z0-9_({@*\#?$!-]))*")
    | (?P<plain>[^ \t\n'"\\$`;&|<>()\#]+|\$(?![A-Za-z0-9_({@*\#?$!'"-]))
    | (?P<hash>\#)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT: Final = regex(r"[^\n]*")
_ESCAPED_IN_DOUBLE: Final = regex(r'\\(["\\$`]|\n)')

# encoding/csv of Go, which docker reads these values with: quotes only around a whole field, doubled inside it.
_CSV_FIELD: Final = regex(r'"((?:[^"\r]|"")*)"|([^",\r\n]*)')
_CSV_QUOTED: Final = regex(r'[",\n]|^$|^\s')


def quote(word: str, *, ascii_only: bool = False) -> str:
    r"""Return a word as a shell reads it, made of characters that are seen, so that what is pasted is what is read.

    A word with others is written as ``$'\033[31m'``, byte by byte in octal: bash, zsh, ksh and POSIX of 2024 read that.
    ``ascii_only`` writes so whatever is not ASCII, for an output that takes nothing else.
    """
    if not unseen(word) and (word.isascii() or not ascii_only):
        return shlex.quote(word)
    return "$'" + "".join(_octal(one) if _needs_octal(one, ascii_only) else one for one in word) + "'"


def _needs_octal(character: str, ascii_only: bool) -> bool:
    # The backslash and the quote for the shell, the exclamation mark for the history of an interactive one.
    return character in "\\'!" or (ascii_only and not character.isascii()) or bool(unseen(character))


def _octal(character: str) -> str:
    lone = "\ud800" <= character <= "\udfff" and not "\udc80" <= character <= "\udcff"
    return "".join(f"\\{byte:03o}" for byte in character.encode(errors="surrogatepass" if lone else "surrogateescape"))


def split(text: str) -> list[str]:
    """Return the words of one shell command; unlike in a shell, a line end is white space and ends nothing.

    Quotes, backslashes, joined lines and comments mean what they mean to a POSIX shell; of ``$'…'`` only what ``quote``
    writes is read. Nothing is expanded or run.

    Raises:
        InputError: a quote that is never closed, or what a shell would expand or run (``$HOME``, ``;``, ``|`` …).
    """
    words: list[str] = []
    word: str | None = None
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _cannot_split(text, position)
        kind, token = match.lastgroup, match.group()
        if kind == "hash" and word is None:
            kind, match = "joined", _COMMENT.match(text, position) or match
        if kind == "space":
            words += [] if word is None else [word]
            word = None
        elif kind != "joined":
            word = (word or "") + _meaning(kind, token)
        position = match.end()
    return words if word is None else [*words, word]


def _meaning(kind: str | None, token: str) -> str:
    if kind == "escaped":
        return token[1:]
    if kind == "single":
        return token[1:-1]
    if kind == "octal":
        return _from_octal(token[2:-1])
    if kind == "double":
        return _ESCAPED_IN_DOUBLE.sub(lambda m: m.group(1).strip("\n"), token[1:-1])
    return token


def _from_octal(text: str) -> str:
    written = text.encode(errors="surrogateescape")
    read = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8) & 0xFF]), written)
    return read.decode(errors="surrogateescape")


def _cannot_split(text: str, position: int) -> InputError:
    found = text[position]
    line = text[position : position + 60].splitlines()[0]
    if found == "\\":
        return InputError("a backslash ends the command", hint="put the character after it, or drop it")
    closing = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL).match(text, position)
    if found == "'" or (found == '"' and closing is None):
        return InputError(f"a {found} is opened and never closed, at: {line}")
    return InputError(
        f"no shell runs the command, so nothing would expand or run: {line}",
        hint="put single quotes around what is meant as it stands; values come in as {{ … }}",
    )


def csv_join(fields: Iterable[str]) -> str:
    """Return the fields as one CSV record, as docker reads it."""
    return ",".join('"' + field.replace('"', '""') + '"' if _CSV_QUOTED.search(field) else field for field in fields)


def csv_split(text: str) -> list[str]:
    """Return the fields of one CSV record, read as docker reads it.

    Raises:
        InputError: a quote inside a field that is not quoted, one that is never closed, or a line end outside quotes.
    """
    fields: list[str] = []
    position = 0
    while True:
        match = _CSV_FIELD.match(text, position)
        if match is None or text[match.end() : match.end() + 1] not in ("", ","):
            raise InputError(
                f"not a list of comma-separated fields: {text!r}",
                hint='put "…" around a whole field that holds a comma or a quote, and double the quotes inside it',
            )
        quoted, plain = match.groups()
        fields.append(plain if quoted is None else quoted.replace('""', '"'))
        if match.end() == len(text):
            return fields
        position = match.end() + 1
