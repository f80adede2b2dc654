"""Whether one more service fits beside others, which services would have to end for it, and its longest context.

Pure. It is the admission of `up` (``planning.admission``), asked many times about one look at the host: for a catalog.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.planning.admission import admit
from sparkctl.planning.running import ended

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from sparkctl.memory.pool import Pool
    from sparkctl.planning.admission import Wanted
    from sparkctl.planning.running import Running

_TRIED: Final = 500
"""How many sets of one size are tried; ten services have 210 sets of four."""
_BY_PROPORTION: Final = 4
"""Contexts that are guessed by proportion, which is exact for a cache that grows evenly; then the range is halved."""
_PLENTY: Final = 2**62
CANNOT: Final = -(2**62)
"""The margin of a service that cannot be served at all."""


class Other(NamedTuple):
    """A service that could end, and the ``bytes`` that this would give back."""

    name: str
    priority: int
    bytes: int


class Around(NamedTuple):
    """The surroundings of one more service: services that are ``wanted`` with it, and what runs already."""

    wanted: tuple[Wanted, ...]
    running: tuple[Running, ...]
    pool: Pool

    @property
    def others(self) -> list[Other]:
        """The services that could end; a service of unknown priority matters most."""
        most = max((one.priority or 0 for one in self.running), default=0)
        there = [
            Other(one.name, most if one.priority is None else one.priority, one.held_bytes + one.unfinished_bytes)
            for one in self.running
            if one.state != "stopped"
        ]
        return [*there, *(Other(one.name, one.priority, one.steady_bytes) for one in self.wanted)]

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(other.name for other in self.others)

    def without(self, names: Collection[str]) -> Around:
        """Return the surroundings after the services of these names have ended."""
        running, pool = ended(self.running, self.pool, names)
        return Around(tuple(one for one in self.wanted if one.name not in names), tuple(running), pool)

    def margin(self, one: Wanted) -> int:
        """Return the bytes that are left at the tightest moment of the starts; below 0: that many are missing.

        Raises:
            InputError: it wants a GPU that the host has not.
        """
        admission = admit([*self.wanted, one], self.running, self.pool, replace=False)
        found = [
            left for step in admission.steps for left in (step.free_bytes, step.check_free_bytes) if left is not None
        ]
        return min(found, default=_PLENTY)

    def fits(self, one: Wanted) -> bool:
        """Return whether it can be started beside them; raises InputError as ``margin`` does."""
        return self.margin(one) >= 0


def stops(one: Wanted, beside: Around) -> tuple[str, ...] | None:
    """Return the fewest services that have to end before one can be started: () for none, None if not even alone.

    Among sets of the same size it is the one of the lowest priority, and then the one that holds least.

    Raises:
        InputError: it wants a GPU that the host has not.
    """
    if beside.fits(one):
        return ()
    others = beside.others
    if not others or not beside.without({other.name for other in others}).fits(one):
        return None
    largest = sorted(others, key=lambda other: -other.bytes)
    for count in range(1, len(others) + 1):
        # The sum of what several give back counts: if the largest are not enough, no others are.
        if not beside.without({other.name for other in largest[:count]}).fits(one):
            continue
        for chosen in _by_priority(others, count):
            if beside.without({other.name for other in chosen}).fits(one):
                return tuple(other.name for other in chosen)
        return tuple(other.name for other in largest[:count])
    return tuple(other.name for other in others)


def _by_priority(others: list[Other], count: int) -> Iterator[tuple[Other, ...]]:
    """Yield the sets of ``count`` services, those of the lowest priority first."""
    found = []
    for chosen in combinations(others, count):
        found.append(chosen)
        if len(found) == _TRIED:
            break
    yield from sorted(found, key=lambda set_: (sum(one.priority for one in set_), sum(one.bytes for one in set_)))


class Fitted(NamedTuple):
    """A context with which a service fits, in tokens, and what is left then, in bytes."""

    context: int
    margin: int


def largest_context(margin: Callable[[int], int], longest: int, step: int, known: Fitted | None = None) -> int:
    """Return the longest context with which a service fits, in tokens; 0 if none does.

    It is ``longest``, a whole number of steps, or the context of ``known``. ``margin`` returns the bytes that are left
    with a context (``Around.margin``); below 0 it does not fit, or cannot be served.
    """
    most = margin(longest)
    if most >= 0:
        return longest
    low, high = 1, -(-longest // step)
    if known is not None and known.context // step >= 1:
        low, least = known.context // step, known.margin
    else:
        least = margin(step) if low < high else -1
    if least < 0:
        return 0
    for turn in range(high):
        if high - low <= 1:
            break
        middle = (low + high) // 2
        if turn < _BY_PROPORTION and most > CANNOT:
            middle = min(high - 1, max(low + 1, low + int((high - low) * least / max(1, least - most))))
        found = margin(middle * step)
        low, least, high, most = (middle, found, high, most) if found >= 0 else (low, least, middle, found)
    return max(low * step, 0 if known is None else known.context)
