"""Sizes and durations as operators write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.base.units import format_bytes, format_duration, parse_bytes, parse_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8 GiB", 8 * 1024**3),
        ("0.3 B", None),
        ("1.5 GiB", 1610612736),
        ("10 gb", 10**10),
        ("500 MB", 500_000_000),
        ("4096", 4096),
        ("1e10", 10**10),
        ("2.5E+3", 2500),
        ("10GiB", 10 * 1024**3),
        ("0", 0),
    ],
)
def test_a_size_is_read_exactly(text: str, expected: int | None) -> None:
    if expected is None:
        with pytest.raises(InputError, match="not a whole number of bytes"):
            parse_bytes(text)
    else:
        assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["1e-3", "1e400", "nan", "-1 GiB", "", "GiB", "8 GiB 4", "٣", "1_000"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a size") as error:
        parse_bytes(text)
    assert error.value.hint == "write a number and a unit, such as 8 GiB, 500 MB or 4096"


@pytest.mark.parametrize("text", ["8388608 TiB", "9" * 400, "1e99 GiB", f"{'10' * 150} GiB"])
def test_what_no_machine_counts_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"expected at most 8 EiB \(2\^63 - 1 bytes\), found '[\de TGiB]+'"):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["11000d", "9" * 400 + "s", "1h" * 90_000])
def test_what_nobody_waits_for_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected at most ten years, found more"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["10G", "10 g", "5.6g"])
def test_a_bare_letter_is_refused_with_its_two_readings(text: str) -> None:
    with pytest.raises(InputError, match="not a size") as error:
        parse_bytes(text)
    assert error.value.hint == "docker reads G as GiB, and vLLM reads g as GB: write one of the two"


@given(st.integers(0, 10**18))
def test_bytes_survive_their_own_text(count: int) -> None:
    assert parse_bytes(f"{count} B") == count


@given(st.text(max_size=20))
def test_any_text_is_a_size_or_an_input_error(text: str) -> None:
    try:
        assert parse_bytes(text) >= 0
    except InputError as error:
        assert repr(text) in error.message  # noqa: PT017  (both ends are right)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (64 * 1024**2, "64.0 MiB"), (10522669875, "9.8 GiB")]
)
def test_bytes_are_printed_for_a_reader(count: int, text: str) -> None:
    assert format_bytes(count) == text


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("20m", 1200), ("1h30m", 5400), ("500ms", 0.5)])
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "20", "m", "20 minutes", "-5s", "5s ago"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(("seconds", "text"), [(4.2, "4s"), (65, "1m 05s"), (7380, "2h 03m"), (-1, "0s")])
def test_a_duration_is_printed_for_a_reader(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
