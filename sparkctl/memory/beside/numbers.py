"""Values of flags and variables as numbers."""

from __future__ import annotations

import math
from typing import Final

_MOST: Final = 2**60


def number(value: object) -> float | None:
    """Return a number of 0 or more that is written as a number or as a text; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if not isinstance(value, int | float) or not math.isfinite(value) or not 0 <= value <= _MOST:
        return None
    return float(value)


def whole(value: object, default: int) -> int:
    """Return a whole number of 1 or more, or the default for anything else."""
    found = number(value)
    return int(found) if found is not None and found >= 1 and found.is_integer() else default
