"""JSON from outside: what is read is what Python reads, and nothing else comes out than a value or the error."""

from __future__ import annotations

import json
import math
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.bounded import BOUNDS, JsonBounds, UnreadableError, read_json
from tests.support.paths import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip
# Near to JSON, so that most examples come past the first character.
PIECES = st.lists(
    st.sampled_from(
        [
            "[",
            "]",
            "{",
            "}",
            ",",
            ":",
            '"',
            '"a"',
            "\\",
            "\\ud83d",
            "NaN",
            "-Infinity",
            "1e999",
            "0" * 70,
            "1",
            "-",
            " ",
        ]
    ),
    max_size=40,
).map("".join)


def outcome(data: bytes | str) -> tuple[object, str]:
    try:
        return read_json(data), ""
    except UnreadableError as error:
        return None, error.message


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(VALUES)
def test_what_is_within_the_bounds_is_read_as_python_reads_it(value: object) -> None:
    text = json.dumps(value)
    assert read_json(text) == json.loads(text) == value
    assert read_json(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary(max_size=200) | PIECES | PIECES.map(str.encode) | st.text(max_size=50))
def test_whatever_comes_is_a_value_or_the_error(data: bytes | str) -> None:
    value, message = outcome(data)
    json.dumps(value, allow_nan=False)  # nothing came in that is no JSON
    assert depth_of(value) <= BOUNDS.depth
    assert message.isprintable()


@given(
    st.integers(0, 12), st.integers(0, 12), st.sampled_from(["[]", '{"a":}', '[{"a":}]']), st.sampled_from(["", "1"])
)
def test_the_bound_of_the_depth_is_exact(depth: int, most: int, pair: str, leaf: str) -> None:
    half = len(pair.rstrip("]}"))
    text = pair[:half] * depth + (leaf or ("[]" if depth else "1")) + pair[half:] * depth
    depth = depth_of(json.loads(text))
    bounds = JsonBounds(depth=most)
    if depth <= most:
        assert depth_of(read_json(text, bounds)) == depth
    else:
        with pytest.raises(UnreadableError, match=f"^nested deeper than {most}$"):
            read_json(text, bounds)


@pytest.mark.parametrize("depth", [65, 990, 5_000, 100_000])
@pytest.mark.parametrize("stack", ["shallow", "deep"])
def test_nesting_is_refused_wherever_the_stack_is(depth: int, stack: str) -> None:
    def refused() -> None:
        with pytest.raises(UnreadableError, match="nested deeper than 64"):
            read_json("[" * depth + "]" * depth)

    if stack == "shallow":
        refused()
    else:
        called_from(sys.getrecursionlimit() - 300, refused)


def called_from(depth: int, function: Callable[[], None]) -> None:
    """Call a function at a depth of the stack of a thread."""
    failed: list[BaseException] = []

    def down(left: int) -> None:
        if left:
            down(left - 1)
            return
        try:
            function()
        except BaseException as error:  # noqa: BLE001  (raised again below)
            failed.append(error)

    thread = threading.Thread(target=down, args=(depth - 100,))
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"no JSON \(Expecting value at line 1, column 1\)"),
        (b'{"choices": [{"mess', "no JSON .Unterminated string"),
        (b"NaN", "NaN is no number of JSON"),
        (b'{"a": -Infinity}', "-Infinity is no number of JSON"),
        (b"1e999", "the number 1e999, which is too large"),
        (b"-1E999", "which is too large"),
        (b"9" * 65, "a number of 65 characters"),
        (b"[0." + b"1" * 5000 + b"]", "a number of 5,002 characters"),
        (b'"\xff"', r"no UTF-8 \(byte 1\)"),
        ("[1]".encode("utf-16"), "no UTF-8"),
        ("[1]".encode("utf-32"), "no UTF-8|no JSON"),
        (b"[" + b"{}," * 500_000 + b"{}]", "more than 500,000 values"),
        (b'"' + b"x" * BOUNDS.size + b'"', "more than 8,388,608 bytes"),
        (b"[1] [2]", "no JSON .Extra data"),
        (b"<html>", "no JSON"),
    ],
)
def test_what_is_refused_is_said(data: bytes, message: str) -> None:
    with pytest.raises(UnreadableError, match=message):
        read_json(data)


def test_a_byte_order_mark_is_no_part_of_the_value() -> None:
    assert read_json(b"\xef\xbb\xbf[1]") == read_json("\ufeff[1]") == [1]


@pytest.mark.parametrize("digits", [20, 64])
def test_numbers_as_long_as_allowed_are_exact(digits: int) -> None:
    value = read_json("9" * digits)
    assert value == 10**digits - 1
    assert isinstance(value, int)
    assert math.isfinite(float(value))


@pytest.mark.parametrize("path", sorted((FIXTURES / "configs").rglob("*.json")), ids=lambda path: path.parent.name)
def test_the_configurations_of_real_models_are_within_the_bounds(path: Path) -> None:
    assert isinstance(read_json(path.read_bytes()), dict)
