"""A multipart form as bytes, with the place of each field: one value is replaced, and no other byte changes. Pure.

vLLM reads an upload as python-multipart does: the field ``model`` may come before the file, or after 25 MB of it.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_BOUNDARY: Final = re.compile(r"""boundary=(?:"([^"]{1,70})"|([^;,\s"]{1,70}))""", re.IGNORECASE)
_NAME: Final = re.compile(rb"""[;\s]name=(?:"((?:[^"\\]|\\.)*)"|([^;\s"]+))""", re.IGNORECASE)
_FILE: Final = re.compile(rb"[;\s]filename\*?=", re.IGNORECASE)
_DISPOSITION: Final = re.compile(rb"^content-disposition\s*:(.*)$", re.IGNORECASE | re.MULTILINE)
_MOST_PARTS: Final = 200
_MOST_HEADERS: Final = 8192
SHORT: Final = 64 << 10
"""Bytes of a field that is read as a text: a prompt, a list of granularities."""


class FormError(ValueError):
    """A body that is no multipart form. The message says what was expected, and where."""


class FormPart(NamedTuple):
    """A part of a form: its field, whether it is a file, and where its value begins and ends in the body."""

    name: str
    is_file: bool
    begin: int
    end: int


def boundary_of(content_type: str) -> bytes:
    """Return what parts the parts of a form of this Content-Type.

    Raises:
        FormError: it says none.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise FormError("Content-Type: expected multipart/form-data with a boundary, found none")
    return (found[1] or found[2]).encode("latin-1", "replace")


def parts(body: bytes, boundary: bytes) -> list[FormPart]:
    """Return the parts of a form, in their order.

    Raises:
        FormError: the body ends before the form does, or a part has no name.
    """
    mark = b"--" + boundary
    place = 0 if body.startswith(mark) else body.find(b"\r\n" + mark) + 2
    if place == 1:
        raise FormError("no line of the body is the boundary that its Content-Type says")
    found: list[FormPart] = []
    while True:
        place += len(mark)
        if body[place : place + 2] == b"--":
            return found
        begin = body.find(b"\r\n", place) + 2
        values = body.find(b"\r\n\r\n", begin - 2, begin + _MOST_HEADERS) + 4
        end = body.find(b"\r\n" + mark, max(values - 2, 0))
        if begin == 1 or values == 3 or end < 0:  # noqa: PLR2004  (find's -1, and what was added)
            raise FormError(f"the form breaks off in its part {len(found) + 1}, which begins at byte {place}")
        if len(found) == _MOST_PARTS:
            raise FormError(f"more than {_MOST_PARTS} parts")
        found.append(_part(body[begin:values], len(found) + 1, values, end))
        place = end + 2


def _part(head: bytes, number: int, begin: int, end: int) -> FormPart:
    disposition = _DISPOSITION.search(head)
    name = _NAME.search(disposition[1]) if disposition is not None else None
    if disposition is None or name is None:
        raise FormError(f"part {number} has no name (Content-Disposition: form-data; name=…)")
    text = (name[1] if name[1] is not None else name[2]).decode("utf-8", "replace").replace('\\"', '"')
    return FormPart(text, _FILE.search(disposition[1]) is not None, begin, max(begin, end))


def fields(body: bytes, found: list[FormPart]) -> dict[str, object]:
    """Return the short fields that are no files, each as a text; of one that comes twice the last."""
    return {
        part.name: body[part.begin : part.end].decode("utf-8", "replace")
        for part in found
        if not part.is_file and part.end - part.begin <= SHORT
    }


def with_value(body: bytes, part: FormPart, value: str) -> bytes:
    """Return a form with another value in one part; every other byte is as it was."""
    return b"".join((body[: part.begin], value.encode(), body[part.end :]))
