"""The fewest hosts that any placement needs: the bound L2 of Martello and Toth for bins of one size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def least_bins(sizes: Sequence[int], capacity: int) -> int:
    """Return L2: items above half a bin get one each, and what the middle ones need beyond what is left in these."""
    best = 0
    for small in sorted({0, *(size for size in sizes if 2 * size <= capacity)}):
        large = [size for size in sizes if size > capacity - small]
        half = [size for size in sizes if capacity - small >= size > capacity / 2]
        middle = [size for size in sizes if capacity / 2 >= size >= small]
        left = len(half) * capacity - sum(half)
        best = max(best, len(large) + len(half) + max(0, -(-(sum(middle) - left) // capacity)))
    return best
