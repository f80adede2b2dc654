"""A memory as one bar to scale, and as the lines of a table: each byte is in exactly one part. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.operations.page.view import MemoryNow

WORDS: Final = {
    "held": "held by {0}",
    "starting": "held by {0}, which is starting",
    "foreign": "in use by what is not sparkctl's",
    "claimed": "claimed by {0}, not yet taken",
    "cache": "page cache, which the kernel gives back",
    "free": "free to start more",
    "reserve": "reserve, which no start may touch",
}
"""The name of each kind of part."""


class BarPart(NamedTuple):
    """A part of a bar: where it begins and how much it is, in bytes."""

    kind: str
    name: str
    start_bytes: int
    bytes: int

    @property
    def key(self) -> str:
        """The key that distinguishes it from other parts of the bar."""
        return f"{self.kind} {self.name}".strip()

    @property
    def words(self) -> str:
        """What it is."""
        return WORDS[self.kind].format(self.name)


class BarLine(NamedTuple):
    """A line across a bar at a number of available bytes: the guard acts to the right of it."""

    name: str
    words: str
    at_bytes: int
    available_bytes: int


def parts(memory: MemoryNow) -> tuple[BarPart, ...]:
    """Return the parts of a memory from left to right; together they are all of it.

    Memory in use comes first: by services, then by others. Then comes available memory: claimed, page cache and empty,
    and the reserve at the end. If more is claimed than there is room for, the reserve becomes smaller; if services seem
    to hold more than is in use (shared pages are counted twice), the last service becomes smaller.
    """
    found, place = [], 0
    for kind, name, count in _kinds(memory):
        if count > 0:
            found.append(BarPart(kind, name, place, count))
            place += count
    return tuple(found)


def _kinds(memory: MemoryNow) -> Iterator[tuple[str, str, int]]:
    total = max(0, memory.total_bytes)
    available = min(max(0, memory.available_bytes), total)
    used = total - available
    for one in memory.holders:
        count = min(max(0, one.held_bytes), used)
        used -= count
        yield "starting" if one.starting else "held", one.name, count
    yield "foreign", "", used
    left = available
    for one in memory.holders:
        count = min(max(0, one.to_take_bytes), left)
        left -= count
        yield "claimed", one.name, count
    reserve = min(max(0, memory.reserve_bytes), left)
    left -= reserve
    cache = min(max(0, memory.cache_bytes), left)
    yield "cache", "", cache
    yield "free", "", left - cache
    yield "reserve", "", reserve


def lines(memory: MemoryNow) -> tuple[BarLine, ...]:
    """Return the guard's lines of a memory, and none without a guard."""
    given = (
        ("act", "here the guard asks a service to end", memory.act_bytes),
        ("floor", "here the guard ends one", memory.floor_bytes),
    )
    return tuple(
        BarLine(name, words, memory.total_bytes - count, count)
        for name, words, count in given
        if count is not None and 0 <= count <= memory.total_bytes
    )


def foreign_bytes(memory: MemoryNow) -> int:
    """Return the bytes of a memory that are in use by anything but sparkctl's services."""
    return sum(one.bytes for one in parts(memory) if one.kind == "foreign")


def to_start_bytes(memory: MemoryNow) -> int:
    """Return the bytes that a start may claim now: available less the reserve and what others may still take."""
    to_take = sum(max(0, one.to_take_bytes) for one in memory.holders)
    return max(0, memory.available_bytes - memory.reserve_bytes - to_take)


def short_bytes(memory: MemoryNow) -> int:
    """Return how many bytes of the reserve are in use already."""
    return max(0, memory.reserve_bytes - memory.available_bytes)
