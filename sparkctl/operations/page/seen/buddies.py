"""Free blocks of memory, by their size: what /proc/buddyinfo says. Pure.

After a week a GB10 had 118 GiB available and almost no block of 16 MiB, and a load of 106 s took over ten minutes
(FujitsuPolycom/sparkring#173).
"""

from __future__ import annotations

from typing import Final

from sparkctl.base.units import MIB

LARGE_BYTES: Final = 2 * MIB
"""The size of block that the driver needs: without any of these it fails (tonyd2wild's field report of a GB10)."""
_FIRST: Final = 4
"""The field of the first count: ``Node 0, zone   Normal   216    55 …``."""


def large_blocks(text: str, page_bytes: int) -> tuple[tuple[int, int], ...]:
    """Return how many blocks of each size are free, of those of at least ``LARGE_BYTES``, by size in bytes.

    Lines that do not belong to this file are ignored.
    """
    counts: dict[int, int] = {}
    for line in text.splitlines():
        fields = line.split()
        if fields[:1] != ["Node"] or not all(one.isascii() and one.isdigit() for one in fields[_FIRST:]):
            continue
        for order, count in enumerate(fields[_FIRST:]):
            size = page_bytes << order
            if size >= LARGE_BYTES:
                counts[size] = counts.get(size, 0) + int(count)
    return tuple(sorted(counts.items()))
