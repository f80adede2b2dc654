"""The body of a request with another model's name, and what a service's stack lays into it. Pure, on bytes.

Only what changes is written anew. Every other byte stays where it is: numbers keep their digits, keys their order, and
pictures of some megabytes are neither read into values and written again nor copied more than once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]  # (CPython's, which json itself parses with)
from typing import Any, Final, NamedTuple

from sparkctl.base.bounded import Shortened, shortened
from sparkctl.base.errors import InputError
from sparkctl.base.units import MIB

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_BOM: Final = b"\xef\xbb\xbf"
_SCANNER: Final = json.JSONDecoder(parse_int=str, parse_float=str, strict=False)
"""Finds where a value ends; numbers stay texts, so that a number of thousands of digits is no error here."""
LONG: Final = MIB
"""In longer bodies the pictures are not read, a choice: below this size, reading takes less than 10 ms."""
COUNTS: Final = frozenset({"/v1/messages/count_tokens", "/tokenize", "/detokenize", "/v1/tokenize", "/v1/detokenize"})
"""Paths that count tokens and generate none: their bodies get no defaults or forced values."""


class BodyChanges(NamedTuple):
    """The changes of a body. ``model``: the name that the server has, "" leaves it unchanged.

    ``defaults`` are for keys that the body lacks, or that are null, which clients write for a key without a value;
    ``force`` is for all keys. A map is merged into the body's map, key by key; any other value replaces the body's.
    """

    model: str = ""
    defaults: Mapping[str, Any] = {}
    force: Mapping[str, Any] = {}

    def on(self, path: str) -> BodyChanges:
        """Return the changes that apply to a path of the server."""
        return BodyChanges(self.model) if path in COUNTS else self

    @property
    def forced(self) -> Mapping[str, Any]:
        """The values that the body has afterwards, whatever it had before."""
        return {"model": self.model, **self.force} if self.model else self.force


class _Member(NamedTuple):
    """A key of an object, and where its value begins and ends."""

    key: str
    start: int
    end: int


class _Edit(NamedTuple):
    start: int
    end: int
    text: bytes


def changed(document: Mapping[str, object], changes: BodyChanges) -> bool:
    """Return whether these changes would alter a body, whose JSON was read."""
    return any(
        key not in document or _canonical(document[key]) != _canonical(value)
        for key, value in _laid(document, changes.defaults, changes.forced).items()
    )


def edited(body: bytes, changes: BodyChanges) -> bytes:
    """Return a body with these changes; the same object if they change nothing.

    Raises:
        InputError: it is no JSON object.
    """
    pieces = edited_pieces(body, changes)
    return body if len(pieces) == 1 else b"".join(pieces)


def edited_pieces(body: bytes, changes: BodyChanges) -> tuple[memoryview, ...]:
    """Return a body with these changes, in pieces; unchanged pieces are not copied. One piece if nothing changes.

    Raises:
        InputError: it is no JSON object.
    """
    short = shortened(body) if len(body) > LONG else Shortened(body)
    text = short.data.decode("latin-1")  # a character a byte: what is found in the text is there in the bytes
    start = _SPACE.match(text, len(_BOM) if body.startswith(_BOM) else 0).end()  # type: ignore[union-attr]
    try:
        edits, end = _edits(short.data, text, start, changes.defaults, changes.forced)
    except (ValueError, IndexError, RecursionError):
        raise InputError("the body is no JSON object") from None
    if _SPACE.match(text, end).end() != len(text):  # type: ignore[union-attr]
        raise InputError("the body is no JSON object: something follows it")
    whole, pieces, done = memoryview(body), [], 0
    for edit in edits:
        pieces += [whole[done : short.place(edit.start)], memoryview(edit.text)]
        done = short.place(edit.end)
    return (*pieces, whole[done:])


def _edits(
    body: bytes, text: str, start: int, defaults: Mapping[str, Any], forced: Mapping[str, Any]
) -> tuple[list[_Edit], int]:
    """Return the changes in the object that begins at ``start``, in its order, and where it ends."""
    members, last, end = _members(body, text, start)
    counts = {one.key: one for one in members}  # of a key that comes twice the last value counts, as for vLLM
    edits: list[_Edit] = []
    for member in members:
        if member.key in forced or (member.key in defaults and counts[member.key] is member):
            edits += _of_member(body, text, member, defaults, forced)
    added = {key: value for key, value in _laid({}, defaults, forced).items() if key not in counts}
    if added:
        written = b", ".join(_written(key) + b": " + _written(value) for key, value in added.items())
        edits.append(_Edit(last, last, (b", " if members else b"") + written))
    return edits, end


def _of_member(
    body: bytes, text: str, member: _Member, defaults: Mapping[str, Any], forced: Mapping[str, Any]
) -> list[_Edit]:
    """Return the changes of a key's value."""
    key = member.key
    if text[member.start] == "{" and isinstance(forced.get(key) if key in forced else defaults[key], Mapping):
        return _edits(body, text, member.start, _below(defaults, key), _below(forced, key))[0]
    raw = body[member.start : member.end]
    if key not in forced and raw != b"null":
        return []
    value = _without(defaults, forced, key)
    return [] if _same(raw, value) else [_Edit(member.start, member.end, _written(value))]


# --- what is laid, as values -----------------------------------------------------------------------------------------


def _laid(document: Mapping[str, object], defaults: Mapping[str, Any], forced: Mapping[str, Any]) -> dict[str, object]:
    """Return the values that an object has afterwards under the keys that are changed."""
    found: dict[str, object] = {}
    for key in {**defaults, **forced}:
        said = document.get(key)
        lays = forced[key] if key in forced else defaults[key]
        if isinstance(said, Mapping) and isinstance(lays, Mapping):
            found[key] = {**said, **_laid(said, _below(defaults, key), _below(forced, key))}
        elif key in forced or said is None:
            found[key] = _without(defaults, forced, key)
    return found


def _without(defaults: Mapping[str, Any], forced: Mapping[str, Any], key: str) -> object:
    """Return the value of a key that a body lacks: the forced value, or both merged if both are maps."""
    lays = forced[key] if key in forced else defaults[key]
    if isinstance(lays, Mapping):
        return _laid({}, _below(defaults, key), _below(forced, key))
    return lays


def _below(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    return found if isinstance(found, Mapping) else {}


# --- where things are in the bytes ------------------------------------------------------------------------------------


def _members(body: bytes, text: str, start: int) -> tuple[list[_Member], int, int]:
    """Return the members of an object, where its last value ends (if empty: after the brace), and where it ends."""
    if text[start] != "{":
        raise ValueError
    found: list[_Member] = []
    position = last = start + 1
    while True:
        position = _SPACE.match(text, position).end()  # type: ignore[union-attr]
        if text[position] == "}" and not found:
            return found, last, position + 1
        if text[position] != '"':
            raise ValueError
        _, key_end = scanstring(text, position + 1, False)
        key = json.loads(body[position:key_end])
        position = _SPACE.match(text, key_end).end()  # type: ignore[union-attr]
        if text[position] != ":":
            raise ValueError
        begin = _SPACE.match(text, position + 1).end()  # type: ignore[union-attr]
        _, last = _SCANNER.raw_decode(text, begin)
        found.append(_Member(key, begin, last))
        position = _SPACE.match(text, last).end()  # type: ignore[union-attr]
        if text[position] == "}":
            return found, last, position + 1
        if text[position] != ",":
            raise ValueError
        position += 1


def _same(raw: bytes, value: object) -> bool:
    """Return whether a value of the body equals this one, even if it is written differently."""
    try:
        return _canonical(json.loads(raw)) == _canonical(value)
    except (ValueError, RecursionError):  # more digits than Python reads
        return False


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _written(value: object) -> bytes:
    return json.dumps(value).encode()
