"""An order for starts in one memory of which some wait for others, so that each has room in its turn. Pure.

A start that gives back more than it takes may begin as soon as it has room, and a start that takes more may be the last
one if it has room then: either leaves more to all others. Only if neither is possible, orders have to be tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_TRIED: Final = 20_000
"""How many sets of starts are tried. None is needed unless a start that gives back waits for one that takes."""


class WaitingStart(NamedTuple):
    """A start: the bytes that have to be available when it begins (None: none), and how it changes them.

    ``freed_bytes`` come back just before, from what it replaces, and count for ``needed_bytes``; ``steady_bytes`` are
    what it keeps.
    """

    name: str
    after: tuple[str, ...]
    needed_bytes: int | None
    freed_bytes: int
    steady_bytes: int

    @property
    def gives(self) -> bool:
        """Whether at least as much is available after the start as before it."""
        return self.freed_bytes >= self.steady_bytes


def in_turn(turns: Sequence[WaitingStart], available: int) -> list[int] | None:
    """Return the positions of the starts in an order in which all have room, and none comes before one it waits for.

    None: there is none, or none was found among ``MOST_TRIED``. If several may be next, the first one given is.
    """
    return _Turns(turns).placed(frozenset(range(len(turns))), available)


class _Turns:
    """What is known about the starts: which ones each waits for, which wait for it, and dead ends."""

    def __init__(self, turns: Sequence[WaitingStart]) -> None:
        places = {turn.name: place for place, turn in enumerate(turns)}
        self._turns = turns
        self._waits = [{places[name] for name in turn.after if name in places} for turn in turns]
        self._followed: list[set[int]] = [set() for _ in turns]
        for place, names in enumerate(self._waits):
            for name in names:
                self._followed[name].add(place)
        self._dead: set[tuple[frozenset[int], int]] = set()

    def placed(self, left: frozenset[int], level: int) -> list[int] | None:
        """Return the order of the remaining starts if ``level`` bytes are available."""
        rest = set(left)
        head: list[int] = []
        while (place := next((one for one in self._first(rest, level) if self._turns[one].gives), None)) is not None:
            head.append(place)
            rest.remove(place)
            level += self._net([place])
        tail = self._taken_off(rest, level + self._net(rest))
        inner = self._tried(frozenset(rest), level)
        return None if inner is None else [*head, *inner, *tail]

    def _taken_off(self, rest: set[int], end: int) -> list[int]:
        """Remove the starts that may come last from the rest, and return them; ``end`` is available after all."""
        tail: list[int] = []
        while (place := self._last(rest, end)) is not None:
            tail.insert(0, place)
            rest.remove(place)
            end -= self._net([place])
        return tail

    def _tried(self, rest: frozenset[int], level: int) -> list[int] | None:
        """Return the order of starts of which none may safely be first or last: orders are tried."""
        if not rest:
            return []
        if len({self._turns[place].gives for place in rest}) == 1:
            return None  # one of them would have been first, or last
        if (rest, level) in self._dead or len(self._dead) > MOST_TRIED:
            return None
        for place in self._first(rest, level):
            found = self.placed(rest - {place}, level + self._net([place]))
            if found is not None:
                return [place, *found]
        self._dead.add((rest, level))
        return None

    def _net(self, places: Iterable[int]) -> int:
        return sum(self._turns[place].freed_bytes - self._turns[place].steady_bytes for place in places)

    def _has_room(self, place: int, level: int) -> bool:
        needed = self._turns[place].needed_bytes
        return needed is None or level >= needed

    def _first(self, rest: frozenset[int] | set[int], level: int) -> list[int]:
        """Return the starts that can begin now."""
        able = (place for place in sorted(rest) if not self._waits[place] & rest)
        return [place for place in able if self._has_room(place, level + self._turns[place].freed_bytes)]

    def _last(self, rest: set[int], end: int) -> int | None:
        """Return a start that takes memory, that none waits for, and that has room after all others have started."""
        for place in sorted(rest, reverse=True):
            turn = self._turns[place]
            if not turn.gives and not self._followed[place] & rest and self._has_room(place, end + turn.steady_bytes):
                return place
        return None
