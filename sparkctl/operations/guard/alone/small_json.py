"""JSON by the part of Python's that is written in C: the module json makes regular expressions, which take 1 MiB."""

from __future__ import annotations

import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_SPACE = " \t\r\n"


class _Context:
    strict = True
    object_hook = object_pairs_hook = parse_constant = None
    parse_float = float
    parse_int = int
    memo: dict[str, str] = {}  # noqa: RUF012  (what the scanner takes as its context is read, and stays empty)


def value_of(text: bytes) -> Any:
    """Return the value that a text in UTF-8 says.

    Raises:
        ValueError: it is no JSON; NaN and infinity are none.
    """
    told = text.decode().strip(_SPACE)
    try:
        value, end = _json.make_scanner(_Context())(told, 0)  # type: ignore[arg-type]
    except (StopIteration, TypeError, RecursionError):
        raise ValueError("is no JSON") from None
    if end != len(told):
        raise ValueError("goes on after its end")
    return value


def line_of(document: Mapping[str, str | int | float]) -> str:
    """Return a flat map as a line of JSON."""
    pairs = (
        f"{_json.encode_basestring_ascii(key)}: "
        f"{_json.encode_basestring_ascii(value) if isinstance(value, str) else repr(value)}"
        for key, value in document.items()
    )
    return f"{{{', '.join(pairs)}}}\n"
