"""Values in braces of a text, as the two runners of community recipes put them in.

``formatted`` is eugr/spark-vllm-docker's way (run-recipe.py: Python's ``str.format``), ``filled`` is sparkrun's
(spark-arena/sparkrun, utils/text.py ``render_template``). Neither formats anything but plain names: no attribute is
looked up, and no value is evaluated.
"""

from __future__ import annotations

import re
from string import Formatter
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST_PASSES: Final = 10
"""How often sparkrun looks for braces in values that it has put in: a value that holds itself ends there."""
MOST_CHARACTERS: Final = 1024 * 1024
"""What a filled text may have; values that hold each other twice would grow beyond all bounds."""

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
    """Return what ``template.format(**values)`` is, or why that would fail, in words."""
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
    """
    escapes = "{{" in template
    pieces: list[tuple[str, bool]] = []
    used: set[str] = set()
    missing: dict[str, None] = {}
    for part in _PARTS.findall(template):
        name = part[1:-1]
        if escapes and part in {"{{", "}}"}:
            pieces.append((part[0], False))
        elif part[0] == "{" and part != "{{" and name in values:
            pieces.append((_deeper(values[name], values, used), True))
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
        value = _IN_VALUE.sub(lambda match: values.get(match[0].strip("{}"), match[0]), value)[:MOST_CHARACTERS]
    return value


def _joined(pieces: Iterable[tuple[str, bool]], used: frozenset[str], missing: tuple[str, ...]) -> Filled:
    """Return pieces as one text; a piece that is a value has all its lines from where it was put in."""
    lines, at = [0], 0
    texts: list[str] = []
    for text, is_value in pieces:
        texts.append(text)
        for _ in range(text.count("\n")):
            at += 0 if is_value else 1
            lines.append(at)
    return Filled("".join(texts), tuple(lines), used, missing)
