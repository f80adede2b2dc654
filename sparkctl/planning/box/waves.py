"""Which starts of an admitted set run at the same time. Pure.

A vLLM whose cache is set in bytes takes the same whatever starts beside it, so several may load at once if there is
room for all of them at their peaks. A vLLM that sizes its cache by the free memory that it finds starts alone: what
another start takes meanwhile would be missing from its cache (vLLM 0.33.0 v1/worker/gpu_worker.py,
determine_available_memory).

The order and the sums are admission's: a wave begins when everything started before it holds its steady bytes. Within
a wave any order may happen, and the worst case is that all of its starts are at their peaks:

* the reserve stays free then, in each memory;
* vLLM's own check of each passes while all the others are at their peaks.

A start that gives memory back, since it replaces what runs, is a wave of its own: that memory is not free before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.planning.admission import Action, Left

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sparkctl.planning.admission import PlannedStart
    from sparkctl.planning.order import Room, StartPart


def waves(
    starts: Sequence[PlannedStart],
    rooms: Mapping[str, Room],
    *,
    alone: Collection[str] = (),
) -> list[tuple[str, ...]]:
    """Return the services of an admitted set in the order of their starts, those that start together in one tuple.

    ``starts`` and ``rooms`` are admission's. Services in ``alone`` start alone; a service that comes after others
    starts when these are ready. The result has as few waves as the order allows, and each is as long as possible: if
    starts have room together, a part of them has room too.
    """
    levels = {memory: Left(room.available_bytes) for memory, room in rooms.items()}
    found: list[list[PlannedStart]] = []
    for start in starts:
        wave = found[-1] if found else []
        if wave and not _apart(start, wave, alone) and _has_room([*wave, start], levels, rooms):
            wave.append(start)
            continue
        for one in wave:
            _settle(one, levels)
        found.append([start])
    return [tuple(one.name for one in wave) for wave in found]


def _apart(start: PlannedStart, wave: Sequence[PlannedStart], alone: Collection[str]) -> bool:
    """Return whether a start may not run beside the starts of a wave, however much room there is."""
    if any(one.name in alone or one.action is Action.REPLACE for one in (*wave, start)):
        return True
    return any(one.name in start.after for one in wave)


def _has_room(starts: Sequence[PlannedStart], levels: Mapping[str, Left], rooms: Mapping[str, Room]) -> bool:
    """Return whether each memory has room for all of these starts at their peaks, and for vLLM's check of each."""
    return all(
        _fit([one.parts[memory] for one in starts if memory in one.parts], levels[memory], room)
        for memory, room in rooms.items()
    )


def _fit(parts: Sequence[StartPart], level: Left, room: Room) -> bool:
    """Return the same for one memory.

    A start that has not begun, or that holds its steady bytes already, takes no more than at its peak, and its spread
    is not larger: so the least is left when all are at their peaks.
    """
    taken = sum(part.peak_bytes for part in parts)
    if any(part.takes for part in parts) and level.beside(*parts) - taken < room.reserve_bytes:
        return False
    for place, part in enumerate(parts):
        others = [*parts[:place], *parts[place + 1 :]]
        if part.check_bytes and level.beside(*others) - (taken - part.peak_bytes) < part.check_bytes:
            return False
    return True


def _settle(start: PlannedStart, levels: dict[str, Left]) -> None:
    """Subtract from the levels what a start keeps, and add what it gives back."""
    for memory, part in start.parts.items():
        level = levels[memory]
        levels[memory] = level._replace(available_bytes=level.available_bytes + part.freed_bytes).after(part)
