"""Bytes and durations: parse and print, exactly."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from sparkctl.base.errors import InputError

KIB: Final = 1024
MIB: Final = 1024**2
GIB: Final = 1024**3

_UNITS: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": KIB,
    "mib": MIB,
    "gib": GIB,
    "tib": 1024**4,
}
_SIZE: Final = re.compile(r"\s*(\d+(?:\.\d+)?(?:[eE]\+?\d{1,2})?)\s*([A-Za-z]*)\s*", re.ASCII)
MOST_BYTES: Final = 2**63 - 1
"""The largest size that vLLM and docker take: they count in signed 64 bits. A larger one also overflows a float sum."""
MOST_SECONDS: Final = 10 * 365 * 24 * 3600.0
"""The longest duration, in seconds: ten years, a choice. Clocks and sleeps overflow far above it."""
_SHOWN: Final = 40
_AMBIGUOUS: Final = frozenset("kmgt")
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}


def parse_bytes(text: str) -> int:
    """Return the number of bytes that ``text`` names: ``8 GiB``, ``500 MB``, ``4096``, ``1e10``.

    ``kB MB GB TB`` are powers of 1000 and ``KiB MiB GiB TiB`` powers of 1024. A bare ``G`` is refused:
    docker reads it as 1024^3 and vLLM, in lower case, as 1000^3. A decimal of a larger unit, 9.8 GiB, is rounded
    to the nearest byte.

    Raises:
        InputError: not a size, an ambiguous unit, a part of a byte, or more than 8 EiB.
    """
    match = _SIZE.fullmatch(text)
    unit = match.group(2).lower() if match else ""
    if match is None or unit not in _UNITS:
        message = f"not a size: {text!r}"
        hint = "write a number and a unit, such as 8 GiB, 500 MB or 4096"
        if unit in _AMBIGUOUS:
            letter = unit.upper()
            hint = f"docker reads {letter} as {letter}iB, and vLLM reads {unit} as {letter}B: write one of the two"
        raise InputError(message, hint=hint)
    value = Decimal(match.group(1)) * _UNITS[unit]
    if unit in {"", "b"} and value != int(value):
        message = f"not a whole number of bytes: {text!r}"
        raise InputError(message, hint="write whole bytes, or a larger unit")
    return within_bytes(round(value), text)


def within_bytes(count: int, text: str = "") -> int:
    """Return a number of bytes; ``text`` is how it was written.

    Raises:
        InputError: no machine counts as many.
    """
    if abs(count) > MOST_BYTES:
        found = repr(text[:_SHOWN]) if text else "more"
        raise InputError(f"expected at most 8 EiB (2^63 - 1 bytes), found {found}", hint="is the unit right?")
    return count


def within_seconds(seconds: float) -> float:
    """Return a duration.

    Raises:
        InputError: nobody waits for so long.
    """
    if not abs(seconds) <= MOST_SECONDS:
        raise InputError("expected at most ten years, found more", hint="is the unit right?")
    return seconds


def format_bytes(count: int) -> str:
    """Return ``count`` bytes for a reader: ``9.8 GiB``, ``64.0 MiB``, ``300 B``; one decimal."""
    for unit, size in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if abs(count) >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def format_gib(count: int) -> str:
    """Return ``count`` bytes in GiB with one decimal and the unit, however small: for sums in one unit."""
    return f"{count / GIB:.1f} GiB"


def parse_duration(text: str) -> float:
    """Return the seconds that ``text`` names: ``90s``, ``20m``, ``1h30m``, ``500ms``.

    Raises:
        InputError: not a duration, or more than ten years.
    """
    parts = _DURATION_PART.findall(text.strip())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        message = f"not a duration: {text!r}"
        raise InputError(message, hint="write a number and ms, s, m, h or d, such as 90s, 20m or 1h30m")
    return within_seconds(float(sum(Decimal(number) * _SECONDS[unit] for number, unit in parts)))


def format_duration(seconds: float) -> str:
    """Return ``seconds`` for a reader: ``4s``, ``1m 05s``, ``2h 03m``."""
    whole = max(0, round(seconds))
    if whole < 60:  # noqa: PLR2004
        return f"{whole}s"
    if whole < 3600:  # noqa: PLR2004
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
