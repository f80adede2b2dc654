"""Values in braces of a text, as the two runners of community recipes put them in.

``formatted`` is eugr/spark-vllm-docker's way (run-recipe.py: Python's ``str.format``), ``filled`` is sparkrun's
(spark-arena/sparkrun, utils/text.py ``render_template``). Neither formats anything but plain names: no attribute is
looked up, and no value is evaluated.
"""

from __future__ import annotations

import re
from string import Formatter
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MOST_PASSES: Final = 10
"""How often sparkrun looks for braces in values that it has put in: a value that holds itself ends there."""
MOST_CHARACTERS: Final = 256 * 1024
"""The limit of a filled text; values that contain each other twice would grow beyond all bounds."""

_PARTS: Final = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]|[^{}]+")
_IN_VALUE: Final = re.compile(r"\{(.*?)\}")
_NAME: Final = re.compile(r"[A-Za-z_][\w.-]*")


class Filled(NamedTuple):
    """A text with its values in.

    ``lines`` has for each line of ``text`` the line of the source that it comes from, both from 0. ``used`` are the
    names whose value was put in; ``missing`` look like names and have no value: they stand in the text as written.
    """

    text: str
    lines: tuple[int, ...]
    used: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()


def formatted(template: str, values: Mapping[str, str]) -> Filled | str:
    """Return what ``template.format(**values)`` is, or why that would fail, in words.

    Raises:
        InputError: it is longer than is read.
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        return f"a brace that is not doubled ({error})"
    for _, name, spec, conversion in parts:
        if name is not None and (name not in values or spec or conversion):
            shown = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
            return f"no default for {{{shown}}}" if _NAME.fullmatch(name) else f"no name between braces: {{{shown}}}"
    pieces = [
        piece
        for literal, name, _, _ in parts
        for piece in ((literal, False), *([] if name is None else [(values[name], True)]))
    ]
    return _joined(pieces, frozenset(name for _, name, _, _ in parts if name is not None), ())


_LONGEST_NAME: Final = 40


def filled(template: str, values: Mapping[str, str]) -> Filled:
    """Return a text with ``{name}`` replaced where the name has a value, and all other braces as they are.

    Doubled braces are one brace each where the text has a doubled opening one: no JSON has that.

    Raises:
        InputError: it is longer than is read.
    """
    escapes = "{{" in template
    pieces: list[tuple[str, bool]] = []
    used: set[str] = set()
    deeper: dict[str, str] = {}
    missing: dict[str, None] = {}
    for part in _PARTS.findall(template):
        name = part[1:-1]
        if escapes and part in {"{{", "}}"}:
            pieces.append((part[0], False))
        elif part[0] == "{" and part != "{{" and name in values:
            if name not in deeper:
                deeper[name] = _deeper(values[name], values, used)
            pieces.append((deeper[name], True))
            used.add(name)
        else:
            pieces.append((part, False))
            if part[0] == "{" and _NAME.fullmatch(name):
                missing[name] = None
    return _joined(pieces, frozenset(used), tuple(missing))


def _deeper(value: str, values: Mapping[str, str], used: set[str]) -> str:
    """Return a value with the values that it holds in braces, as often as sparkrun looks."""
    for _ in range(MOST_PASSES):
        names = {match.strip("{}") for match in _IN_VALUE.findall(value)} & values.keys()
        if not names:
            break
        used |= names
        value = replaced(_IN_VALUE, lambda found: values.get(found.strip("{}")), value)
        if len(value) == MOST_CHARACTERS:
            break
    return value


def replaced(pattern: re.Pattern[str], value_of: Callable[[str], str | None], text: str) -> str:
    """Return a text with what ``value_of`` says of each match in its place, cut off at the bound.

    ``value_of`` gets the match; what it knows nothing of stays.
    """
    pieces, length, end = [], 0, 0
    for match in pattern.finditer(text):
        value = value_of(match[0])
        piece = text[end : match.start()] + (match[0] if value is None else value)
        pieces.append(piece)
        length, end = length + len(piece), match.end()
        if length >= MOST_CHARACTERS:
            break
    return "".join([*pieces, text[end:]])[:MOST_CHARACTERS]


def _joined(pieces: Iterable[tuple[str, bool]], used: frozenset[str], missing: tuple[str, ...]) -> Filled:
    """Return pieces as one text; for a filled-in value, all its lines get the place where it was filled in.

    Raises:
        InputError: it is longer than is read.
    """
    lines, at, length = [0], 0, 0
    texts: list[str] = []
    for text, is_value in pieces:
        texts.append(text)
        length += len(text)
        if length > MOST_CHARACTERS:
            message = f"its values in braces make more than {MOST_CHARACTERS:,} characters"
            raise InputError(message, hint="no command has as many: does a value hold itself?")
        for _ in range(text.count("\n")):
            at += 0 if is_value else 1
            lines.append(at)
    return Filled("".join(texts), tuple(lines), used, missing)
