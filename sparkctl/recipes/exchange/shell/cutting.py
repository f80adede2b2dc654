"""The results of ``${NAME##*/}``, ``${NAME/a/b}``, ``${NAME,,}`` and similar expansions."""

from __future__ import annotations

import re
from fnmatch import translate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_COUNT: Final = re.compile(r"[0-9]{1,6}")
_MOST: Final = 4096
"""Characters of a value that is cut: a pattern is tried at each of its places."""
_CASES: Final[dict[str, Callable[[str], str]]] = {
    ",,": str.lower,
    "^^": str.upper,
    ",": lambda value: value[:1].lower() + value[1:],
    "^": lambda value: value[:1].upper() + value[1:],
}


def cut(value: str, operator: str, argument: str) -> str | None:
    """Return what the operator makes of the value; None for what is not read here."""
    if len(value) > _MOST or len(argument) > _MOST:
        return None
    if operator in _CASES:
        return None if argument else _CASES[operator](value)
    if operator == ":":
        return _slice(value, argument)
    if operator in {"/", "//"}:
        pattern, _, new = argument.partition("/")
        return value.replace(pattern, new, 1 if operator == "/" else -1) if pattern and not _globs(pattern) else None
    if operator in {"#", "##"}:
        return _front(value, argument, longest=operator == "##")
    return _back(value, argument, longest=operator == "%%") if operator in {"%", "%%"} else None


def _slice(value: str, argument: str) -> str | None:
    start, colon, length = (part.strip() for part in argument.partition(":"))
    if not _COUNT.fullmatch(start) or (colon and not _COUNT.fullmatch(length)):
        return None
    return value[int(start) :][: int(length) if colon else None]


def _front(value: str, pattern: str, *, longest: bool) -> str:
    if not _globs(pattern):
        return value.removeprefix(pattern)
    matches = re.compile(translate(pattern)).match
    ends = range(len(value), -1, -1) if longest else range(len(value) + 1)
    return next((value[end:] for end in ends if matches(value[:end])), value)


def _back(value: str, pattern: str, *, longest: bool) -> str:
    if not _globs(pattern):
        return value.removesuffix(pattern)
    matches = re.compile(translate(pattern)).match
    starts = range(len(value) + 1) if longest else range(len(value), -1, -1)
    return next((value[:start] for start in starts if matches(value[start:])), value)


def _globs(pattern: str) -> bool:
    return any(character in pattern for character in "*?[")
