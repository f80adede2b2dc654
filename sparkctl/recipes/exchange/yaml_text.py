r"""Plain values as YAML, with comments where they belong; invisible characters are written as escapes.

Texts are plain where every reader takes them for texts (YAML 1.1 reads ``on``, ``1_000`` and ``12:30`` as something
else), and in double quotes otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.shown import unseen
from sparkctl.recipes.exchange.comments import comment

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLAIN: Final = re.compile(r"(?:--?)?[A-Za-z_/][A-Za-z0-9_./+=@-]*(?::[A-Za-z0-9_./+=@-]+)*|\./[A-Za-z0-9_./+=@-]*")
_SOMETHING_ELSE: Final = re.compile(r"(?i:y|n|yes|no|on|off|true|false|null|none|nan|inf)")
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


class Noted(NamedTuple):
    """A value with the sentences that stand above its key."""

    value: object
    sentences: tuple[str, ...]


class YamlBlock(NamedTuple):
    """A text of several lines, which is written line by line as it is."""

    text: str


def lines(text: str) -> YamlBlock | str:
    """Return a text to be written line by line, where a block of YAML holds it unchanged; else the text as it is."""
    every = text.split("\n")
    kept = all(one == one.rstrip() and not unseen(one) for one in every) and not text.startswith((" ", "\n"))
    return YamlBlock(text) if kept and len(every) > 1 and not text.endswith("\n\n") else text


def noted(value: object, *sentences: str) -> Noted:
    """Return a value with a comment above it."""
    return Noted(value, sentences)


def document(value: Mapping[str, object], *sentences: str) -> str:
    """Return a map as a document of YAML, below a comment."""
    return "".join(f"{line}\n" for line in [*comment(*sentences), *_map(value, 0)])


def scalar(value: object) -> str:
    """Return a single value as YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and not _SOMETHING_ELSE.fullmatch(text):
        return text
    if '"' in text and "\n" not in text and not unseen(text):
        return "'" + text.replace("'", "''") + "'"
    return quoted(text)


def quoted(text: str) -> str:
    """Return a text in double quotes; what is not seen is an escape."""
    return '"' + "".join(_ESCAPES.get(one) or (_escaped(one) if unseen(one) else one) for one in text) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\U{code:08x}" if code > 0xFFFF else f"\\u{code:04x}"  # noqa: PLR2004  (four digits)


def _map(value: Mapping[str, object], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for key, inner in value.items():
        yield from _notes(inner, indent)
        yield from _pair(f"{indent}{scalar(str(key))}:", _bare(inner), depth)


def _pair(head: str, value: object, depth: int) -> Iterator[str]:
    """Yield a key with its value; ``head`` is the key with its colon, or the dash of a list."""
    indent = "  " * (depth + 1)
    if isinstance(value, YamlBlock):
        yield f"{head} |{'' if value.text.endswith(chr(10)) else '-'}"
        yield from (f"{indent}{line}".rstrip() for line in value.text.removesuffix("\n").split("\n"))
    elif isinstance(value, Mapping) and value:
        yield head
        yield from _map(value, depth + 1)
    elif isinstance(value, Mapping):
        yield f"{head} {{}}"
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield f"{head}{'' if value else ' []'}"
        yield from _list(value, depth + 1)
    else:
        yield f"{head} {scalar(value)}"


def _list(values: Sequence[object], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for item in values:
        yield from _notes(item, indent)
        value = _bare(item)
        if isinstance(value, Mapping) and value:
            first, *rest = _map(value, depth + 1)
            comments = [] if not first.lstrip().startswith("#") else [first]
            while comments and rest and rest[0].lstrip().startswith("#"):
                comments.append(rest.pop(0))
            if comments:
                yield from (f"{indent}{line.lstrip()}" for line in comments)
                first, *rest = rest
            yield f"{indent}- {first.lstrip()}"
            yield from rest
        else:
            yield from _pair(f"{indent}-", value, depth)


def _bare(value: object) -> object:
    return value.value if isinstance(value, Noted) else value


def _notes(value: object, indent: str) -> Iterator[str]:
    if isinstance(value, Noted):
        yield from (f"{indent}{line}" for line in comment(*value.sentences))
