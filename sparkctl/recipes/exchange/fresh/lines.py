"""A recipe's file whose every line says why it is there: its values with their reasons, and the text. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.recipes.exchange import yaml_text
from sparkctl.recipes.exchange.comments import wrapped
from sparkctl.recipes.exchange.fields.made import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_WIDTH: Final = 110
GUESSED: Final = "guessed: "
_PLAIN: Final = re.compile(r"[A-Za-z/][\w./@+-]*(?::[\w.-]+)?(?: [A-Za-z][\w.-]*)*", re.ASCII)
_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
"""Texts that YAML, or some parser of it, reads as something else."""


class FreshLine(NamedTuple):
    """A value of a recipe at a path, its reason, and the source. ``guessed``: no source makes it certain."""

    path: tuple[str, ...]
    value: object
    why: str
    source: str = ""
    guessed: bool = False

    @property
    def comment(self) -> str:
        """What stands above it."""
        return f"{GUESSED if self.guessed else ''}{self.why}{f' ({self.source})' if self.source else ''}"


class LeftOut(NamedTuple):
    """A key that the recipe does not have, and why."""

    key: str
    why: str


def keys_of(lines: Sequence[FreshLine]) -> dict[str, object]:
    """Return the recipe as plain maps."""
    return plain((line.path, line.value) for line in lines)


def text_of(head: Sequence[str], lines: Sequence[FreshLine], left_out: Sequence[LeftOut]) -> str:
    """Return the file: what it is, each value below its reason, and which keys are not in it."""
    written = [*_comments(head, 0)]
    comments = {line.path: line.comment for line in lines}
    written += _map(keys_of(lines), (), comments)
    if left_out:
        written += ["", *_comments([f"{one.key}: not here: {one.why}" for one in left_out], 0)]
    return "\n".join(written) + "\n"


def _map(keys: Mapping[str, object], path: tuple[str, ...], comments: Mapping[tuple[str, ...], str]) -> Iterator[str]:
    indent = "  " * len(path)
    for key, value in keys.items():
        here = (*path, key)
        if here in comments:
            yield from _comments([comments[here]], len(path))
            yield f"{indent}{_scalar(key)}: {_flow(value)}"
        elif isinstance(value, dict):
            yield f"{indent}{_scalar(key)}:"
            yield from _map(value, here, comments)


def _comments(sentences: Sequence[str], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for sentence in sentences:
        yield from (f"{indent}# {line}" for line in wrapped(sentence, _WIDTH - len(indent)))


def _scalar(text: str) -> str:
    """Return a text as it is if YAML reads it as a text, else in quotes, with escapes for invisible characters."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return yaml_text.quoted(text)


def _flow(value: object) -> str:
    """Return a value on one line as JSON, but a map without quotes around its keys."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(str(key))}: {_flow(one)}" for key, one in value.items()) + "}"
    return _scalar(value) if isinstance(value, str) else json.dumps(value)
