"""The variables of a compose file, as docker compose fills them in; and the ``.env`` files that they come from.

The rules are those of the Compose specification (docs.docker.com/reference/compose-file/interpolation): ``$X``,
``${X}``, ``${X:-default}``, ``${X-default}``, ``${X:?message}``, ``${X:+other}``, ``$$``; defaults may hold variables
again. Nothing of the operator's environment is read: a value comes from ``--var``, or from ``.env`` beside the file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.recipes.exchange.material import unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_FILLED: Final = 4 * 1024 * 1024
"""The limit in characters for all filled-in texts of a file: a small file can use a large value many times."""
MAX_DEPTH: Final = 16
"""Variables in defaults of variables."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR: Final = re.compile(r":?[-?+]")
_PLAIN: Final = re.compile(r"[^$}]+")


class Filler:
    """Fills in the variables of one file, and counts the size of all results."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._spent = 0

    def filled(self, text: str) -> str:
        """Return a text with its variables filled in; one without a value is marked (``material.unknown``).

        Raises:
            InputError: what follows a ``$`` is no variable, or all together become too large.
        """
        if "$" not in text:
            return text
        found, end = self._until(text, 0, 0)
        pieces = [found]
        while end < len(text):  # a brace that closes nothing is text
            found, end = self._until(text, end + 1, 0)
            pieces += ["}", found]
        return "".join(pieces)

    def _until(self, text: str, start: int, depth: int) -> tuple[str, int]:
        """Return what stands from ``start`` to the brace that ends it, or to the end of the text."""
        pieces: list[str] = []
        position = start
        while position < len(text) and text[position] != "}":
            match = _PLAIN.match(text, position)
            if match is not None:
                piece, position = match[0], match.end()
            else:
                piece, position = self._variable(text, position, depth)
            pieces.append(self._counted(piece))
        return "".join(pieces), position

    def _counted(self, piece: str) -> str:
        self._spent += len(piece)
        if self._spent > MAX_FILLED:
            raise InputError(f"with its variables filled in the file is larger than {MAX_FILLED // 1024} KiB")
        return piece

    def _variable(self, text: str, position: int, depth: int) -> tuple[str, int]:
        """Return what the variable at ``position`` becomes, and where it ends."""
        following = text[position + 1 : position + 2]
        if following == "$":
            return "$", position + 2
        if following != "{":
            name = _NAME.match(text, position + 1)
            if name is None:
                raise _no_variable(text, position)
            return self._value(name[0]), name.end()
        name = _NAME.match(text, position + 2)
        if name is None or depth == MAX_DEPTH:
            raise _no_variable(text, position)
        operator = _OPERATOR.match(text, name.end())
        other, end = self._until(text, operator.end() if operator else name.end(), depth + 1)
        if text[end : end + 1] != "}" or (operator is None and end > name.end()):
            raise _no_variable(text, position)
        return self._by(operator[0] if operator else "", name[0], other), end + 1

    def _by(self, operator: str, name: str, other: str) -> str:
        value = self._values.get(name)
        there = value is not None and (value != "" or not operator.startswith(":"))
        if operator.endswith("+"):
            return other if there else ""
        if operator.endswith("-") and not there:
            return other
        return self._value(name) if there or not operator.endswith("?") else unknown(name)

    def _value(self, name: str) -> str:
        value = self._values.get(name)
        return unknown(name) if value is None else value


def _no_variable(text: str, position: int) -> InputError:
    found = text[position : position + 20].splitlines()[0]
    return InputError(
        f"expected a variable such as ${{NAME}} or ${{NAME:-default}} after the $, found {found}",
        hint="docker compose refuses it, too: write $$ for the character itself",
    )


# --- .env ------------------------------------------------------------------------------------------------------------


class EnvironmentFile(NamedTuple):
    """What a ``.env`` or an ``env_file`` says: the values, the line of each, and the lines that say nothing."""

    values: Mapping[str, str]
    lines: Mapping[str, int]
    unread: tuple[int, ...] = ()


_LINE: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*(?:[=:]\s*(.*))?", re.DOTALL)
_QUOTED_LINE: Final = re.compile(
    r"""[^\S\n]*(?:export[^\S\n]+)?[A-Za-z_][A-Za-z0-9_.-]*[^\S\n]*[=:][^\S\n]*(?:"(?:[^"\\]|\\.)*"|'[^']*')[^\n]*""",
    re.DOTALL,
)
_WHOLE_LINE: Final = re.compile(r"[^\n]*")
_COMMENT: Final = re.compile(r"\s+#.*|^#.*", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}


def environment_file(text: str, known: Mapping[str, str]) -> EnvironmentFile:
    """Return the contents of a text of lines ``NAME=value``; ``known`` are variables that have a value already.

    Single quotes keep their content, double quotes know escapes, and both may span lines; elsewhere `` #`` begins a
    comment. Values may contain variables, including those above them. A name alone has no value of its own.
    """
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    unread: list[int] = []
    for number, line in _logical_lines(text.removeprefix("\ufeff").replace("\r\n", "\n")):
        match = _LINE.fullmatch(line)
        if match is None:
            unread.append(number)
            continue
        name, written = match[1], match[2]
        if written is None:
            value = known.get(name)
        else:
            try:
                value = _value(written, {**values, **known})
            except InputError:
                unread.append(number)
                continue
        if value is not None:
            values[name], lines[name] = value, number
    return EnvironmentFile(values, lines, tuple(unread))


def raw_environment_file(text: str) -> EnvironmentFile:
    """Return a text's contents as docker reads it, literally: no quotes, no variables, no comments behind a value."""
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    unread: list[int] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        name, equals, value = line.lstrip().partition("=")
        if equals and name and " " not in name:
            values[name], lines[name] = value, number
        elif line.strip() and not line.lstrip().startswith("#"):
            unread.append(number)
    return EnvironmentFile(values, lines, tuple(unread))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something with their numbers; one whose value begins with a quote goes on to its end."""
    position, number = 0, 1
    while position < len(text):
        match = _QUOTED_LINE.match(text, position) or _WHOLE_LINE.match(text, position)
        line = match[0] if match else ""
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line
        number += line.count("\n") + 1
        position += len(line) + 1


def _value(written: str, known: Mapping[str, str]) -> str:
    text = written.strip()
    if text.startswith("'"):
        return text[1:].partition("'")[0]
    filler = Filler(known)
    if text.startswith('"'):
        match = re.match(r'"((?:[^"\\]|\\.)*)', text, re.DOTALL)
        inside = match[1] if match else text[1:]
        return filler.filled(_ESCAPED.sub(lambda one: _ESCAPES.get(one[1], one[1]), inside))
    return filler.filled(_COMMENT.sub("", text).strip())
