"""What an item of a footprint is, and the sums of items."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.units import GIB, format_gib

if TYPE_CHECKING:
    from collections.abc import Iterable

LORA_SLOTS: Final = "LoRA slots"
ACTIVATIONS: Final = "activations"
DRAFT_ACTIVATIONS: Final = "draft's activations"
ENGINE: Final = "engine's process"
TRANSIENT: Final = "while it starts"
GROWTH: Final = "growth after ready"
"""What a server takes beyond its memory when it became ready: no start shows it."""
PINNED: Final = frozenset({"KV cache on the host", "weights on the host"})
"""Items that a start allocates at once, and that are not a process's own pages: pinned memory, or /dev/shm."""
DECLARED: Final = PINNED | {
    *("API servers", "LoRA adapters on the host", "cache of processed images", "other ranks", "swap space"),
}
"""Items that a flag asks for. Measuring a start does not show them: buffers of the host are not a process's own pages,
and caches fill later."""


class When(StrEnum):
    """When an item is held: as long as the service runs, only while it starts, or as growth once it serves."""

    STEADY = "steady"
    START = "start"
    LATER = "later"


class Where(StrEnum):
    """Where an item is: in the memory that vLLM's fraction covers, or the processes' own; one pool on a GB10."""

    GPU = "gpu"
    HOST = "host"


class Item(NamedTuple):
    """One thing that takes memory. ``estimated``: neither computed from the model nor read from a log of it.

    ``bytes`` is the middle of the observed values, and ``spread`` by how much more it may take: 0 if it is computed or
    was measured on this host.
    """

    name: str
    bytes: int
    source: str
    when: When = When.STEADY
    where: Where = Where.GPU
    estimated: bool = False
    spread: int = 0

    @property
    def bound(self) -> int:
        """The most that it may take, in bytes."""
        return self.bytes + self.spread


def middle(items: Iterable[Item]) -> int:
    """Return the bytes that items take together if each takes its middle."""
    return sum(item.bytes for item in items)


def bound(items: Iterable[Item]) -> int:
    """Return the most bytes that items take together: their middles, and the root of the sum of their squared spreads.

    The causes of the spreads are independent, so not all items are at their most at once. The sum of all spreads would
    be more than any start was seen to take.
    """
    total = squares = 0
    for item in items:
        total += item.bytes
        squares += item.spread * item.spread
    return total + math.isqrt(squares)


class PlacePart(NamedTuple):
    """The most bytes of a service in one place: once it serves, and at its peak.

    ``words`` are its items as a line; otherwise ``held`` are the items, from which the line is made on demand.
    """

    steady_bytes: int
    peak_bytes: int
    words: str
    held: tuple[Item, ...] = ()

    @property
    def said(self) -> str:
        """The items as a line, "" if they are not known."""
        if not self.held:
            return self.words
        shown = [f"{item.name} {item.bytes / GIB:.1f}" for item in self.held if item.bytes >= GIB // 20]
        most = f"at most {format_gib(self.steady_bytes)}"
        return f"{' + '.join(shown)}, {most}" if shown else most
