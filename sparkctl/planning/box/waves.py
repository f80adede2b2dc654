"""Which starts of an admitted set go on at the same time. Pure.

A vLLM whose cache is set in bytes takes the same whatever starts beside it, so that several may load at once where
there is room for all of them at their peaks. One that sizes its cache by the memory that it finds free starts alone:
what another one takes meanwhile would be missing in it (vLLM 0.33.0 v1/worker/gpu_worker.py,
determine_available_memory).

The order is admission's, and so are its sums: a wave begins when all that was started before it holds what it keeps.
Within a wave anything may come first, and the worst is that all of it is at its peak:

* the reserve stays free then, in each memory;
* vLLM's own check of each passes while all the others are at their peaks.

A start that gives memory back, since it replaces what runs, is a wave of its own: what comes back is not there before.
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

    ``starts`` and ``rooms`` are admission's. Services in ``alone`` start alone; one that comes after others starts when
    these are ready. Together they are as few waves as that order allows, and each as long as it can be: a part of what
    has room together has room too.
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
    """Return whether a start may not go on beside those of a wave, however much room there is."""
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
    """Return the same of one memory.

    A start that has not begun, or holds what it keeps already, takes no more than at its peak, and its spread is no
    more than that: so what is left is least when all are at their peaks.
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
    """Take from the levels what a start keeps, and give them what it gives back."""
    for memory, part in start.parts.items():
        level = levels[memory]
        levels[memory] = level._replace(available_bytes=level.available_bytes + part.freed_bytes).after(part)
