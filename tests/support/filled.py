"""Values of which every text is one that a test gives: by their types, so that a field that is new is among them."""

from __future__ import annotations

import types
from dataclasses import is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

NUMBERS: dict[object, object] = {int: 7 * 1024**3, float: 3.0, bool: True}
"""What stands for what is no text."""
TAGS = "</title></pre></template><script>document.title=1</script><img src=x onerror='document.title=2'>"
QUOTES = (
    "\"><svg onload=document.title=3> '><a href=javascript:document.title=4 style=color:red x='"
    "{{ 7*7 }}{% raw %}&lt;b&gt;"
)
CONTROLS = (
    "\x00\x07\x1b[31m\x1b]0;owned\x07\r\n\ndata: {}\n\nevent: tick"
    "\x7f\x9b2J\u2028\u2029\u202e\u200b\ufeff\udcff\U000e0041"
)
HOSTILE = (TAGS, QUOTES, CONTROLS, f"{TAGS}{QUOTES}{CONTROLS}" * 3)
"""Texts that a stranger may write where they are shown on a page."""


def filled(kind: Any, text: str) -> Any:  # noqa: ANN401  (any type, and a value of it)
    """Return a value of a type: each text in it is the given one, each tuple has an element, nothing is left out."""
    if kind is str:
        return text
    if kind in NUMBERS:
        return NUMBERS[kind]
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        return (filled(inner[0], text),) if inner[1:] == (Ellipsis,) else tuple(filled(one, text) for one in inner)
    if get_origin(kind) is types.UnionType:
        return filled(next(one for one in get_args(kind) if one is not type(None)), text)
    assert is_dataclass(kind) or issubclass(kind, tuple), f"{kind}: no value of this type is known"
    hints = get_type_hints(kind)
    names = getattr(kind, "_fields", None) or kind.__dataclass_fields__
    return kind(**{name: filled(hints[name], text) for name in names})
