"""JSON from outside, read within bounds: what a server, a label, the hub or a downloaded file says. Pure.

Python's own reader takes NaN and Infinity, which are no JSON, numbers of thousands of digits, and nesting up to the end
of its stack. Each of them is met later: in a sum, in a text, in a walk that calls itself. Here they are refused.
"""

from __future__ import annotations

import json
import math
import re
from functools import partial
from typing import Final, NamedTuple, NoReturn

from sparkctl.base.errors import InputError
from sparkctl.base.units import MIB


class UnreadableError(InputError):
    """Bytes from outside that are not JSON, or that exceed the bounds. The message says which; it names no source."""


class JsonBounds(NamedTuple):
    """How much JSON is read. All of these are choices: far above what vLLM writes, far below what hurts.

    ``size`` is in bytes (of a text: in characters): an answer of 262,144 tokens as numbers has 2 MB. ``depth`` counts
    lists and maps inside each other: vLLM's deepest answer, a chat with a tool call and log probabilities, has 7, and a
    tool's JSON Schema some more. ``parts`` counts commas and opening brackets, those inside texts too, which bounds the
    objects that Python makes of it (up to 230 bytes each). ``digits`` are the characters of one number: a 64-bit one
    has 20.
    """

    size: int = 8 * MIB
    depth: int = 64
    parts: int = 500_000
    digits: int = 64


BOUNDS: Final = JsonBounds()


def read_json(data: bytes | str, bounds: JsonBounds = BOUNDS) -> object:
    """Return the value that ``data`` is: a dict, list, str, int, finite float, bool or None.

    Bytes are UTF-8, with or without a byte order mark. If a key occurs twice, the last value counts, as for vLLM's
    own clients. A text may hold half a surrogate pair, which JSON can write and UTF-8 cannot.

    Raises:
        UnreadableError: it is no JSON, or beyond the bounds.
    """
    if len(data) > bounds.size:
        raise UnreadableError(f"more than {bounds.size:,} bytes")
    text = _text(data)
    opened = text.count("[") + text.count("{")
    if opened + text.count(",") > bounds.parts:
        raise UnreadableError(f"more than {bounds.parts:,} values")

    whole, fraction = partial(_whole, most=bounds.digits), partial(_fraction, most=bounds.digits)
    try:
        value: object = json.loads(text, parse_int=whole, parse_float=fraction, parse_constant=_no_number)
    except RecursionError:
        raise UnreadableError(f"nested deeper than {bounds.depth}") from None
    except json.JSONDecodeError as error:
        raise UnreadableError(f"no JSON ({error.msg} at line {error.lineno}, column {error.colno})") from None
    if opened > bounds.depth:  # JSON cannot be deeper than its number of opening brackets
        _refuse_deep(value, bounds.depth)
    return value


def _text(data: bytes | str) -> str:
    if isinstance(data, str):
        return data.removeprefix("\ufeff")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"no UTF-8 (byte {error.start})") from None


def _whole(digits: str, most: int) -> int:
    if len(digits) > most:
        raise UnreadableError(f"a number of {len(digits):,} characters")
    return int(digits)


def _fraction(digits: str, most: int) -> float:
    if len(digits) > most:
        raise UnreadableError(f"a number of {len(digits):,} characters")
    value = float(digits)
    if not math.isfinite(value):
        raise UnreadableError(f"the number {digits}, which is too large")
    return value


def _no_number(word: str) -> NoReturn:
    raise UnreadableError(f"no JSON ({word} is no number of JSON)")


def _refuse_deep(value: object, depth: int) -> None:
    """Walk level by level: nothing here calls itself."""
    level, inside = [value], 0
    while holders := [one for one in level if isinstance(one, dict | list)]:
        inside += 1
        if inside > depth:
            raise UnreadableError(f"nested deeper than {depth}")
        level = [child for one in holders for child in (one.values() if isinstance(one, dict) else one)]


# --- pictures and recordings, as texts of megabytes -------------------------------------------------------------------

_BLOCK: Final = 32 << 10
_PREFIX: Final = re.compile(rb"[ !#-\[\]-~]{0,256}")
"""The part of a long text that is kept: printable and without an escape, so that it is a valid text by itself."""
_SPACE: Final = b" \t\r\n"
_NEAR: Final = 16
_BYTES_BEFORE: Final = frozenset({b":", b",", b"[", b"{"})
_BYTES_AFTER: Final = frozenset({b" ", b"\t", b"\r", b"\n", b",", b":", b"]", b"}"})


class Shortened(NamedTuple):
    """JSON whose longest texts are cut: ``cuts`` are the places in ``data``, and how many bytes were removed there."""

    data: bytes
    cuts: tuple[tuple[int, int], ...] = ()

    def place(self, at: int) -> int:
        """Return where a place of ``data`` is in the whole JSON. The place must be outside of every text."""
        return at + sum(count for place, count in self.cuts if place < at)


def shortened(data: bytes, block: int = _BLOCK) -> Shortened:
    """Return JSON in which a text is cut to its beginning if it has ``block`` bytes or more without a quote or an end.

    A text of twice that length is always cut; texts without such a block never are. Reading a picture of 60 MB as a
    text takes a third of a second, during which the rest of the process waits; finding its end takes 10 ms. What is cut
    is not checked: if the data is no JSON, the rest may still be valid JSON.
    """
    pieces, cuts = [], []
    done = at = length = 0
    while at + block <= len(data):
        if data.find(b'"', at, at + block) >= 0:
            at += block
            continue
        begin, end = data.rfind(b'"', done, at) + 1, data.find(b'"', at + block)
        if end < 0:
            break
        if begin and _opens(data, begin - 1) and data[end - 1 : end] != b"\\":
            kept = _PREFIX.match(data, begin, end).end()  # type: ignore[union-attr]
            pieces.append(data[done:kept])
            length += kept - done
            cuts.append((length, end - kept))
            done = end
        at = end + 1
    return Shortened(b"".join([*pieces, data[done:]]) if cuts else data, tuple(cuts))


def _opens(data: bytes, quote: int) -> bool:
    """Return whether a quote can only open a text: the byte after it cannot follow the end of a text."""
    before = data[max(0, quote - _NEAR) : quote].rstrip(_SPACE)[-1:]
    after = data[quote + 1 : quote + 2]
    return bytes(before) in _BYTES_BEFORE and bytes(after) not in _BYTES_AFTER  # data may be a bytearray
