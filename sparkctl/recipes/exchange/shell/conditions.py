"""The results of ``[ … ]``, ``[[ … ]]`` and ``test``, if their words are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.material import unknowns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TWO: Final[dict[str, Callable[[str, str], bool]]] = {
    "=": lambda one, other: one == other,
    "==": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
}
_NUMBERS: Final[dict[str, Callable[[int, int], bool]]] = {
    "-eq": lambda one, other: one == other,
    "-ne": lambda one, other: one != other,
    "-lt": lambda one, other: one < other,
    "-le": lambda one, other: one <= other,
    "-gt": lambda one, other: one > other,
    "-ge": lambda one, other: one >= other,
}
_CLOSING: Final = {"[": "]", "[[": "]]", "test": ""}
_MOST_DIGITS: Final = 12


def result(words: Sequence[str]) -> bool | None:
    """Return what a test says; None where a value is unknown, or it asks about files."""
    if not words or words[0] not in _CLOSING:
        return {"true": True, ":": True, "false": False}.get(words[0]) if words else None
    closing = _CLOSING[words[0]]
    inside = list(words[1:-1] if closing and words[-1] == closing else words[1:])
    return _judged(inside)


def _judged(words: list[str]) -> bool | None:
    for operator, decides in (("||", True), ("-o", True), ("&&", False), ("-a", False)):
        if operator in words:
            at = words.index(operator)
            first, second = _judged(words[:at]), _judged(words[at + 1 :])
            if decides in {first, second}:
                return decides
            return None if None in {first, second} else not decides
    if words[:1] == ["!"]:
        opposite = _judged(words[1:])
        return None if opposite is None else not opposite
    if any(unknowns(word) for word in words):
        return None
    return _plain(words)


def _plain(words: list[str]) -> bool | None:
    match words:
        case [one]:
            return bool(one)
        case ["-z", one]:
            return not one
        case ["-n", one]:
            return bool(one)
        case [one, operator, other] if operator in _TWO:
            return None if any(character in other for character in "*?[") else _TWO[operator](one, other)
        case [one, operator, other] if operator in _NUMBERS:
            both = [int(text) for text in (one, other) if text.isdigit() and len(text) <= _MOST_DIGITS]
            return _NUMBERS[operator](*both) if len(both) == len([one, other]) else None
    return None
