"""The order in which services are started, so that every start has room. Pure.

With one memory the best order is found by sorting (``_of_one``), and nothing is refused that some order could start. If
services come after others, the sorted order is the best one if it respects that; else an order is searched for
(``_waiting``). With several memories (GPUs with their own, and the host's) the best orders for each of them are tried,
and then all orders, up to ``MOST_TRIED`` of their beginnings: how much is free does not depend on the order of what was
started before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, NamedTuple, Protocol, TypeVar

from sparkctl.planning.box import waiting
from sparkctl.planning.box.order import in_order, is_in_order
from sparkctl.planning.box.waiting import WaitingStart

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

MOST_TRIED: Final = 20_000
"""How many sets of started services are tried: twelve starts have 4,096, few of which are possible."""


class StartPart(NamedTuple):
    """The effect of a start on one memory, in bytes: ``freed_bytes`` come back just before it, from what it replaces.

    ``check_bytes`` have to be available for vLLM's own check, 0 without one. ``spread_bytes`` is by how much the most
    that it holds exceeds the middle.
    """

    memory: str
    peak_bytes: int = 0
    steady_bytes: int = 0
    freed_bytes: int = 0
    check_bytes: int = 0
    spread_bytes: int = 0

    @property
    def takes(self) -> bool:
        """Whether the start takes some of it, and does not only give back."""
        return self.peak_bytes > 0 or self.check_bytes > 0


class Entry(Protocol):
    """A start to be ordered: its parts by memory, the services that it waits for, and its priority among equals."""

    @property
    def name(self) -> str:
        """The service's name."""

    @property
    def after(self) -> Collection[str]:
        """The names of the services that have to be ready before it; names without a start do not count."""

    @property
    def parts(self) -> Mapping[str, StartPart]:
        """Its effect on each memory."""

    @property
    def priority(self) -> int:
        """The higher one first."""


E = TypeVar("E", bound=Entry)


class Room(NamedTuple):
    """A memory before the first start: what is available, and what has to stay free."""

    available_bytes: int
    reserve_bytes: int


def ordered(starts: Sequence[E], rooms: Mapping[str, Room]) -> list[E]:
    """Return the admitted order that leaves the most free; if none is admitted, the order nearest to that."""
    memories = _memories(starts)
    if len(memories) <= 1:
        return _of_one(starts, *memories, rooms=rooms)
    candidates = [_of_one(starts, memory, rooms=rooms) for memory in memories]
    best = max(map(in_order, candidates), key=lambda order: _slack(order, rooms))
    if _slack(best, rooms) >= 0 or not all(_passes(_in(starts, memory), *rooms[memory]) for memory in memories):
        return best
    return _found(starts, rooms) or best


def can_start(starts: Sequence[Entry], rooms: Mapping[str, Room]) -> bool:
    """Return whether these starts are admitted in some order."""
    memories = _memories(starts)
    if not memories:
        return True
    if len(memories) == 1:
        room = rooms[memories[0]]
        passes = _passes(_in(starts, memories[0]), *room)  # most starts that are tried for a refused set fail here
        return passes and (_is_free(starts) or _waiting(_all(starts, memories[0]), *room) is not None)
    return _slack(ordered(starts, rooms), rooms) >= 0


def _is_free(starts: Sequence[Entry]) -> bool:
    """Return whether no start waits for another of them."""
    names = {start.name for start in starts}
    return not any(names.intersection(start.after) for start in starts)


def _memories(starts: Sequence[Entry]) -> list[str]:
    return list(dict.fromkeys(memory for start in starts for memory in start.parts))


# --- several memories ------------------------------------------------------------------------------------------------


def _slack(order: Sequence[Entry], rooms: Mapping[str, Room]) -> int:
    """Return the least bytes left above the reserve at any moment in any memory; below 0: the largest shortage."""
    levels = {memory: room.available_bytes for memory, room in rooms.items()}
    least: list[int] = []
    for start in order:
        for part in start.parts.values():
            levels[part.memory] += part.freed_bytes
            least += _margins(part, levels[part.memory], rooms[part.memory])
            levels[part.memory] -= part.steady_bytes
    return min(least, default=0)


def _margins(part: StartPart, level: int, room: Room) -> Iterator[int]:
    if part.peak_bytes:
        yield level - part.peak_bytes - room.reserve_bytes
    if part.check_bytes:
        yield level - part.check_bytes


def _found(starts: Sequence[E], rooms: Mapping[str, Room]) -> list[E] | None:
    """Return an order that is admitted, None if none was found; sets that failed once are not tried again."""
    dead: set[frozenset[int]] = set()
    places = {start.name: place for place, start in enumerate(starts)}
    waits = [{places[name] for name in start.after if name in places} for start in starts]

    def after(begun: frozenset[int], levels: Mapping[str, int]) -> list[E] | None:
        if len(begun) == len(starts):
            return []
        if begun in dead or len(dead) > MOST_TRIED:
            return None
        for place, start in enumerate(starts):
            if place in begun or not waits[place] <= begun:
                continue
            now = dict(levels)
            if not _begun(start, now, rooms):
                continue
            rest = after(begun | {place}, now)
            if rest is not None:
                return [start, *rest]
        dead.add(begun)
        return None

    return after(frozenset(), {memory: room.available_bytes for memory, room in rooms.items()})


def _begun(start: Entry, levels: dict[str, int], rooms: Mapping[str, Room]) -> bool:
    """Return whether a start has room, and subtract its steady bytes from the levels."""
    for part in start.parts.values():
        levels[part.memory] += part.freed_bytes
        if any(margin < 0 for margin in _margins(part, levels[part.memory], rooms[part.memory])):
            return False
        levels[part.memory] -= part.steady_bytes
    return True


# --- one memory ------------------------------------------------------------------------------------------------------


class _Alone(NamedTuple, Generic[E]):
    """A start, and its effect on the one memory that is considered."""

    start: E
    part: StartPart


def _of_one(starts: Sequence[E], memory: str | None = None, *, rooms: Mapping[str, Room]) -> list[E]:
    """Return the order with the least peak that passes vLLM's checks; if none passes, the order nearest to that.

    Without checks, sorting finds it. If a check fails, the order that leaves the most free at every peak is searched
    for: to leave ``free`` bytes, a start needs the larger of its peak and its check less ``free``; the best order for
    these needs is a sort again, and the largest ``free`` that passes is found by bisection.
    """
    if memory is None:
        return in_order(starts)
    available, reserve = rooms[memory]
    alone, others = _in(starts, memory), [start for start in starts if memory not in start.parts]
    best = _sorted(alone, free=None)
    most = _least_free(best, available)
    if most >= reserve and not _checks_pass(best, available):
        low, high = reserve, most
        if _passes(alone, available, low):
            while low < high:
                middle = (low + high + 1) // 2
                low, high = (middle, high) if _passes(alone, available, middle) else (low, middle - 1)
        best = _sorted(alone, free=low)
    found = [*(one.start for one in best), *others]
    return found if is_in_order(found) else _of_one_waiting(found, memory, rooms[memory], most)


def _in(starts: Sequence[E], memory: str) -> list[_Alone[E]]:
    return [_Alone(start, start.parts[memory]) for start in starts if memory in start.parts]


def _passes(starts: Sequence[_Alone[E]], available: int, free: int) -> bool:
    order = _sorted(starts, free=free)
    return not order or (_least_free(order, available) >= free and _checks_pass(order, available))


def _sorted(starts: Sequence[_Alone[E]], *, free: int | None) -> list[_Alone[E]]:
    """Return the order that needs the least; ``free`` is what every peak has to leave, None: checks do not count.

    First the starts that give back more than they take, the least demanding first, as each makes room for the next;
    then the rest by what their start takes beyond what they keep, the largest first. Any two neighbours in another
    order can be exchanged without needing more. Ties: the higher priority first.
    """

    def key(one: _Alone[E]) -> tuple[bool, int, int]:
        part = one.part
        gives = part.freed_bytes >= part.steady_bytes
        need = part.peak_bytes if free is None else max(part.peak_bytes, part.check_bytes - free)
        weight = need - part.freed_bytes if gives else part.steady_bytes - need
        return not gives, weight, -one.start.priority

    return sorted(starts, key=key)


def _levels(order: Sequence[_Alone[E]], available: int) -> Iterator[tuple[StartPart, int]]:
    """Yield each start with what is available just before it."""
    for one in order:
        available += one.part.freed_bytes
        yield one.part, available
        available -= one.part.steady_bytes


def _least_free(order: Sequence[_Alone[E]], available: int) -> int:
    return min((level - part.peak_bytes for part, level in _levels(order, available)), default=available)


def _checks_pass(order: Sequence[_Alone[E]], available: int) -> bool:
    return all(level >= part.check_bytes for part, level in _levels(order, available) if part.check_bytes)


# --- one memory, where some come after others ------------------------------------------------------------------------


def _of_one_waiting(starts: Sequence[E], memory: str, room: Room, most: int) -> list[E]:
    """Return the order that leaves the most free among those in which no start comes before one it waits for.

    ``starts`` are in the best order without that condition, which leaves ``most``; of two equal starts, the first one
    there also comes first here. If no order is admitted, vLLM's checks are ignored.
    """
    alone = _all(starts, memory)
    available, reserve = room
    checked = _waiting(alone, available, reserve) is not None
    if not checked:
        alone = [one._replace(part=one.part._replace(check_bytes=0)) for one in alone]
        reserve = available - sum(one.part.peak_bytes + one.part.steady_bytes for one in alone)
    low, high = reserve, max(reserve, most)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _waiting(alone, available, middle) is not None else (low, middle - 1)
    found = _waiting(alone, available, low)
    return in_order(starts) if found is None else [one.start for one in found]


def _all(starts: Sequence[E], memory: str) -> list[_Alone[E]]:
    """Return all starts; one without an effect on the memory still has its place in the order."""
    return [_Alone(start, start.parts.get(memory, StartPart(memory))) for start in starts]


def _waiting(starts: Sequence[_Alone[E]], available: int, free: int) -> list[_Alone[E]] | None:
    """Return an order that respects what starts wait for and that leaves ``free`` bytes at every peak.

    None: there is none, or none was found (``waiting.in_turn``).
    """
    given = _sorted(starts, free=free)
    found = waiting.in_turn([_turn(one, free) for one in given], available)
    return None if found is None else [given[place] for place in found]


def _turn(one: _Alone[E], free: int) -> WaitingStart:
    part = one.part
    most = part.peak_bytes + free
    needed = (max(most, part.check_bytes) if part.check_bytes else most) if one.start.parts else None
    return WaitingStart(one.start.name, tuple(one.start.after), needed, part.freed_bytes, part.steady_bytes)
