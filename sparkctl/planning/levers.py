"""How one service can be made smaller, and what its operator loses by it. Pure."""

from __future__ import annotations

import math
from functools import cache
from itertools import chain, combinations
from typing import TYPE_CHECKING, Final, TypeVar

from sparkctl.planning.admission import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sparkctl.planning.admission import Need, Sizes, Switch, Wanted

T = TypeVar("T")

_STEP: Final = 1024
_SMALL_STEP: Final = 16
"""The step for a context of less than sixteen large steps: a block of the cache."""
_EACH: Final = 0.25
SHARES: Final = 64
"""The number of parts into which contexts are divided that shrink together."""


class Lever:
    """A service that can be made smaller; the need of a changed one is computed once."""

    def __init__(self, service: Wanted, sizes: Sizes) -> None:
        self.name = service.name
        self.priority = service.priority
        self.sizes = sizes
        self.need: Callable[[Change], Need | None] = cache(sizes.need)
        large = sizes.context >= _SMALL_STEP * _STEP
        self.step = _STEP if large else _SMALL_STEP
        whole = service.need
        self.switches = [one for one in sizes.switches if self._helps(one, whole)]

    def _helps(self, switch: Switch, whole: Need) -> bool:
        need = self.need(Change(switches=(switch.override,)))
        return need is not None and _less(need, whole)

    @property
    def least(self) -> Change:
        """The change to its smallest size."""
        return Change(
            context=min(self.step, self.sizes.context),
            sequences=1,
            switches=tuple(switch.override for switch in self.switches),
        )

    def combinations(self) -> Iterator[Change]:
        """Yield every subset of the switches with every halving of the sequences."""
        for chosen in subsets(self.switches):
            for sequences in _halvings(self.sizes.sequences):
                yield Change(sequences=sequences, switches=tuple(switch.override for switch in chosen))

    def policy(self, words: Sequence[str], halvings: int | None) -> Change:
        """Return the change with these switches, and its sequences halved so many times; None is one sequence."""
        sequences = 1 if halvings is None else max(1, self.sizes.sequences >> halvings)
        return Change(
            sequences=sequences if sequences < self.sizes.sequences else None,
            switches=tuple(switch.override for switch in self.switches if switch.words in words),
        )

    def shrunk(self, change: Change, share: int) -> Change:
        """Return the change with a share of the context."""
        context = max(self.step, self.sizes.context * share // SHARES // self.step * self.step)
        return change._replace(context=context if share < SHARES and context < self.sizes.context else None)

    def loss(self, change: Change) -> float:
        """Return what the operator loses by a change, in halvings of the context (sparkctl.ways)."""
        lost = _EACH * max(0, len(change.overrides) - 1)
        lost += sum(switch.loss for switch in self.sizes.switches if switch.override in change.switches)
        for before, after in ((self.sizes.context, change.context), (self.sizes.sequences, change.sequences)):
            lost += math.log2(before / after) if after is not None else 0
        return lost

    def words(self, change: Change) -> str:
        """Return a change in words."""
        told = [switch.words for switch in self.sizes.switches if switch.override in change.switches]
        if change.sequences is not None:
            told.append(f"{change.sequences:,} of {self.sizes.sequences:,} sequences")
        if change.context is not None:
            told.append(f"a context of {change.context:,} of {self.sizes.context:,} tokens")
        return " and ".join(told)


def _less(need: Need, than: Need) -> bool:
    fractions = [one.check.fraction if one.check is not None else 0 for one in (need, than)]
    pairs = ((need.steady_bytes, than.steady_bytes), (need.peak_bytes, than.peak_bytes), fractions)
    return all(less <= more for less, more in pairs) and any(less < more for less, more in pairs)


def shrunk_together(changes: Mapping[Lever, Change], share: int) -> dict[Lever, Change]:
    """Return the changes with the same share of every context."""
    return {lever: lever.shrunk(change, share) for lever, change in changes.items()}


def loss_of(changes: Mapping[Lever, Change]) -> float:
    """Return what is lost by changes of several services."""
    return sum(lever.loss(change) for lever, change in changes.items())


def subsets(items: Sequence[T]) -> Iterator[tuple[T, ...]]:
    """Yield every choice among the items, the smallest first."""
    return chain.from_iterable(combinations(items, count) for count in range(len(items) + 1))


def _halvings(count: int) -> Iterator[int | None]:
    """Yield None for the count as it is, and every half of it down to one."""
    yield None
    while count > 1:
        count //= 2
        yield count


def most(least: int, most: int, enough: Callable[[int], bool]) -> int:
    """Return the largest number that is enough, if every smaller one is too; 0 if none is."""
    if most < least or not enough(least):
        return 0
    low, high = least, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if enough(middle) else (low, middle - 1)
    return low
