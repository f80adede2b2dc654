"""From one input to another that is nearly as good, or much worse: bytes, words, and the structure of JSON and YAML."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

MAX_BYTES: Final = 2 * 1024 * 1024
_WORD: Final = re.compile(rb"[\w.+-]+|\s+|[^\w\s]")
_ODD: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, 2**64, 10**30, 1e300, -1e300, 1e-300, 0.1),
    *("", " ", "a", "0", "-1", "null", "true", "1e999", "a" * 300, "\0", "\n", "\ud800", "\u202e", "é", "../..", "/"),
    *("~nouser/x", "${A}", "{{ a }}", "--", "-", "%s", "9" * 5000),
    *([], {}, [[]], [{}], {"": ""}, {"a": {}}, [None], [0] * 300, ["a"] * 300),
)
_RAW: Final = (
    *(b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-0", b"9" * 400, b"9" * 5000, b"0" * 300, b"1e-999", b"\0"),
    *(
        b"[" * 990,
        b"{" * 990,
        b'{"a":' * 990,
        b"[" * 100_000,
        b"(" * 5000,
        b"- " * 500,
        b"*a",
        b"&a",
        b"<<: *a",
        b"!!python",
    ),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x1b[2J", b"\xe2\x80\xae", b"\r", b"\x85"),
    *(
        b"a" * 256,
        b"a" * 70_000,
        b'"',
        b"'",
        b"\\",
        b"`",
        b"$(",
        b"#",
        b": ",
        b"\t",
        b",",
        b"=",
        b"-" * 200,
        b"\n" * 3000,
    ),
    *(b"{{", b"}}", b"{%", b"%}", b"data: ", b"HTTP/1.1 200 OK\r\n", b"Content-Length: 99999999999999999999\r\n"),
)


def mutated(chance: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Return an input made of another by one to four changes."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        change: Callable[[random.Random, bytes, Sequence[bytes]], bytes] = chance.choice(_CHANGES)
        data = change(chance, data, others)[:MAX_BYTES]
    return data


def _bytes(chance: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    """Change, remove, repeat or put in some bytes."""
    begin = chance.randint(0, len(data))
    end = min(len(data), begin + chance.choice((0, 1, 1, 4, 32, 1000)))
    put = chance.choice((b"", chance.randbytes(chance.choice((1, 2, 8))), data[begin:end] * chance.choice((2, 50))))
    return data[:begin] + put + data[end:]


def _raw(chance: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    """Put what readers stumble over in the place of a word, or between two."""
    words = _WORD.findall(data) or [b""]
    index = chance.randrange(len(words))
    words[index] = chance.choice(_RAW) + (words[index] if chance.random() < 0.3 else b"")
    return b"".join(words)


def _words(chance: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    """Exchange, remove or repeat words."""
    words = _WORD.findall(data) or [b""]
    one, two = chance.randrange(len(words)), chance.randrange(len(words))
    words[one] = chance.choice((words[two], b"", words[one] * chance.choice((2, 1000))))
    return b"".join(words)


def _spliced(chance: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Join the beginning of one and the end of another."""
    other = chance.choice(others)
    return data[: chance.randint(0, len(data))] + other[chance.randint(0, len(other)) :]


def _restructured(chance: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    """Read JSON or YAML, put an odd value, a part of itself or nothing somewhere in it, and write it."""
    try:
        value = json.loads(data) if data[:1] in b"{[" and data else yaml.safe_load(data)
    except (ValueError, RecursionError, yaml.YAMLError):
        return _bytes(chance, data, _others)
    places = _places(value)
    if not places:
        return _raw(chance, data, _others)
    holder, key = chance.choice(places)
    _change(chance, holder, key, chance.choice(places))
    try:
        return json.dumps(value, default=str).encode()
    except (ValueError, RecursionError, TypeError):
        return data


def _change(chance: random.Random, holder: Any, key: Any, other: tuple[Any, Any]) -> None:  # noqa: ANN401  (JSON)
    kind = chance.random()
    if kind < 0.6:
        holder[key] = chance.choice(_ODD)
    elif kind < 0.75:
        holder[key] = json.loads(json.dumps(other[0], default=str))
    elif kind < 0.9 and isinstance(holder, dict):
        holder[str(chance.choice(_ODD))] = holder.pop(key)
    else:
        nested = holder[key]
        for _ in range(chance.choice((1, 40, 300))):
            nested = [nested] if chance.random() < 0.5 else {"a": nested}
        holder[key] = nested


def _places(value: Any) -> list[tuple[Any, Any]]:  # noqa: ANN401  (JSON)
    found, waiting = [], [value]
    while waiting and len(found) < 5000:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        found += [(one, key) for key in keys]
        waiting += [one[key] for key in keys]
    return found


_CHANGES: Final = (_bytes, _raw, _words, _spliced, _restructured, _restructured, _restructured)
