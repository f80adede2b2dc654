"""The ordered steps from what runs to what is wanted, and whether each start is admitted. Pure.

Services are started one at a time, the next when the last is ready; which of them may start together follows from that
(``box.waves``). Two moments of a start are looked at, each with all that was started before it and all that runs and
has not yet taken its claim:

* vLLM's own check, once its context is taken: it refuses unless the fraction of its command is free. The reserve counts
  as free here.
* its peak: the reserve has to stay free.

Afterwards it holds its steady bytes, which are no more than its peak.

On a GB10 all of it is in one memory. Where a GPU has its own, a start has a part in that of each of its GPUs, and one
in the host's, and every part has to have room.
"""

from __future__ import annotations

import math
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.memory.pool import HOST
from sparkctl.planning import order
from sparkctl.planning.devices import Devices
from sparkctl.planning.order import Room, StartPart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sparkctl.memory.items import PlacePart
    from sparkctl.memory.pool import Pool
    from sparkctl.planning.running import Running


class Action(StrEnum):
    """What happens to a service: it runs as wanted; it is starting so; it starts; it differs from what is wanted."""

    KEEP = "keep"
    WAIT = "wait"
    START = "start"
    REPLACE = "replace"
    CHANGED = "changed"


STARTS: Final = frozenset({Action.START, Action.REPLACE})


class StartupCheck(NamedTuple):
    """vLLM's own check at its start: ``free >= ceil(fraction * total)`` (vLLM 0.33.0 v1/worker/utils.py).

    ``taken_bytes`` of its own are no longer free by then, on a GPU with its own memory ``taken_own_bytes``.
    ``counts_cache``: this vLLM takes the page cache of unified memory for used.
    """

    fraction: float
    taken_bytes: int
    counts_cache: bool = False
    taken_own_bytes: int = 0

    def wants(self, pool: Pool) -> int:
        """Return the bytes of unified memory that have to be available before the start for the check to pass."""
        wanted = math.ceil(self.fraction * pool.total_bytes) + self.taken_bytes
        return wanted + pool.cache_bytes if self.counts_cache else wanted

    def wants_own(self, pool: Pool) -> int:
        """Return the same of a GPU's own memory."""
        return math.ceil(self.fraction * pool.total_bytes) + self.taken_own_bytes


class OnGpu(NamedTuple):
    """What of a service is on each of its GPUs, what is the host's, and which GPUs these are."""

    gpu: PlacePart
    host: PlacePart
    devices: Devices


class Need(NamedTuple):
    """What a service holds and takes at most while it starts, in bytes, on its GPU and on the host together.

    ``check`` and ``gpu`` are None for a vLLM on the CPU. ``spread_bytes``: what it holds once it serves may be so much
    more than its middle, which is in both.
    """

    steady_bytes: int
    peak_bytes: int
    check: StartupCheck | None = None
    gpu: OnGpu | None = None
    spread_bytes: int = 0

    def parts(self, pool: Pool) -> dict[str, StartPart]:
        """Return what it takes of each memory of a host.

        Raises:
            InputError: it wants a GPU that the host has not.
        """
        cards = self.gpu.devices.among(pool.gpus) if self.gpu is not None else ()
        own = [(gpu.key, gpu.pool) for gpu in cards if gpu.pool is not None] if cards else []
        if self.gpu is None or not own:
            if not pool.known:
                return {}
            peak = max(self.peak_bytes, self.steady_bytes)
            wanted = self.check.wants(pool) if self.check is not None else 0
            return {HOST: StartPart(HOST, peak, self.steady_bytes, 0, wanted, self.spread_bytes)}
        on, beside, check = self.gpu.gpu, self.gpu.host, self.check or StartupCheck(0, 0)
        found = [StartPart(key, on.peak_bytes, on.steady_bytes, check_bytes=check.wants_own(card)) for key, card in own]
        if pool.known:
            found.append(StartPart(HOST, beside.peak_bytes, beside.steady_bytes))
        return {part.memory: part for part in found}


class Switch(NamedTuple):
    """A setting that makes a service smaller: what ``--set`` takes, the same in words, and what it costs.

    ``loss`` is in halvings of the context (sparkctl.ways).
    """

    override: str
    words: str
    loss: float


class Change(NamedTuple):
    """A smaller service: a None leaves a number as it is; ``switches`` are overrides."""

    context: int | None = None
    sequences: int | None = None
    switches: tuple[str, ...] = ()

    @property
    def overrides(self) -> tuple[str, ...]:
        """The change as ``--set`` takes it."""
        limits = {"limits.sequences": self.sequences, "limits.context": self.context}
        return (*self.switches, *(f"{path}={value}" for path, value in limits.items() if value is not None))


class Sizes(NamedTuple):
    """How a service can be made smaller: ``need`` says what a changed one needs, None where it cannot be changed so."""

    context: int
    sequences: int
    switches: tuple[Switch, ...]
    need: Callable[[Change], Need | None]


class Variant(NamedTuple):
    """Another recipe of the same model for the same limits. ``overrides`` keep them.

    ``missing``: its model is not on this host.
    """

    recipe: str
    overrides: tuple[str, ...]
    need: Need
    missing: bool = False


class Wanted(NamedTuple):
    """A service that is to run. ``parts`` is its footprint as a line.

    ``sizes`` and ``variants`` say what of it could be less, None and () where nothing could; they are asked only for a
    set that does not fit. ``asked`` is the recipe or stack that it was asked for by, its own name unless said.
    ``after`` are the services that have to be ready before it starts; what is not in the set does not count.
    """

    name: str
    recipe: str
    digest: str
    steady_bytes: int
    peak_bytes: int
    priority: int = 0
    parts: str = ""
    check: StartupCheck | None = None
    sizes: Sizes | None = None
    variants: Callable[[], Iterable[Variant]] = tuple
    asked: str = ""
    gpu: OnGpu | None = None
    spread_bytes: int = 0
    after: tuple[str, ...] = ()

    @property
    def need(self) -> Need:
        """What it needs."""
        return Need(self.steady_bytes, self.peak_bytes, self.check, self.gpu, self.spread_bytes)


class Step(NamedTuple):
    """One action on one service. ``free_bytes`` is what a start leaves above the reserve at its peak.

    ``check_free_bytes`` is what vLLM's own check finds free beyond what it asks for. Where it takes of several
    memories, each is of the one where it is least, and ``memory`` and ``check_memory`` are their keys. ``changes`` are
    in words how what runs differs from what is wanted, for a step that is ``changed`` or ``replace``.
    """

    action: Action
    service: str
    free_bytes: int | None = None
    check_free_bytes: int | None = None
    changes: tuple[str, ...] = ()
    memory: str = HOST
    check_memory: str = HOST

    @property
    def admitted(self) -> bool:
        """Whether there is room for it."""
        return (self.free_bytes or 0) >= 0 and (self.check_free_bytes or 0) >= 0

    @property
    def needs_replace(self) -> bool:
        """Whether nothing happens to it unless the operator allows to replace it."""
        return self.action is Action.CHANGED


class PlannedStart(NamedTuple):
    """A start: ``parts`` are what it does to each memory, by its key; ``freed`` comes back of what it replaces.

    ``after`` are the services that have to be ready before it.
    """

    name: str
    action: Action
    priority: int
    freed: Mapping[str, int] = MappingProxyType({})
    parts: Mapping[str, StartPart] = MappingProxyType({})
    after: tuple[str, ...] = ()

    @property
    def peak_bytes(self) -> int:
        """The most that it takes, of all memories together."""
        return sum(part.peak_bytes for part in self.parts.values())

    def needing(self, need: Need, pool: Pool) -> PlannedStart:
        """Return the same start of a service with another need.

        Raises:
            InputError: it wants a GPU that the host has not.
        """
        taken = need.parts(pool)
        if not self.freed:  # of what is asked a thousand times where a set does not fit
            return PlannedStart(self.name, self.action, self.priority, self.freed, taken, self.after)
        given = {memory: count for memory, count in self.freed.items() if count or memory in taken}
        parts = {
            memory: taken.get(memory, StartPart(memory))._replace(freed_bytes=given.get(memory, 0))
            for memory in dict.fromkeys([*taken, *given])
            if memory in pool.memories
        }
        return self._replace(parts=parts)


class Admission(NamedTuple):
    """What is decided of a set. ``starts`` are in their order.

    ``spoken`` is what each running service may still take, by memory. ``rooms`` are the memories before the first
    start, without what is spoken for.
    """

    starts: tuple[PlannedStart, ...]
    steps: tuple[Step, ...]
    spoken: Mapping[str, Mapping[str, int]]
    rooms: Mapping[str, Room]

    @property
    def fits(self) -> bool:
        """Whether every start is admitted."""
        return all(step.admitted for step in self.steps)


class Left(NamedTuple):
    """What is available of a memory before a start, if all that was started before it takes its most.

    ``spreads`` are by how much more than its middle each of them may hold. Not all are at their most at once: their
    causes have nothing to do with each other, so that together the root of the sum of their squares is the most
    (``items.bound``).
    """

    available_bytes: int
    spreads: tuple[int, ...] = ()

    def beside(self, *parts: StartPart) -> int:
        """Return what is available to starts of these parts, which are not at their most when all the others are."""
        return self.available_bytes + together(*self.spreads, *(part.spread_bytes for part in parts))

    def after(self, part: StartPart) -> Left:
        """Return the level when it holds what it keeps."""
        return Left(self.available_bytes - part.steady_bytes, (*self.spreads, part.spread_bytes))


def together(*spreads: int) -> int:
    """Return by how much less services hold at most together than each of them at its own most."""
    return sum(spreads) - math.isqrt(sum(spread**2 for spread in spreads))


def admit(wanted: Sequence[Wanted], running: Sequence[Running], pool: Pool, *, replace: bool) -> Admission:
    """Return what is kept, waited for or changed, and then the starts with what each leaves free.

    Raises:
        InputError: a service wants a GPU that the host has not.
    """
    now = {service.name: service for service in running}
    actions = {one.name: _action(one, now.get(one.name), replace=replace) for one in wanted}
    spoken = {one.name: one.spoken(waited=actions.get(one.name) is Action.WAIT) for one in running}
    starts = [
        PlannedStart(one.name, action, one.priority, _freed(now.get(one.name), spoken), after=one.after).needing(
            one.need, pool
        )
        for one in wanted
        if (action := actions[one.name]) in STARTS
    ]
    rooms = {
        memory: Room(each.available_bytes - sum(of.get(memory, 0) for of in spoken.values()), each.reserve_bytes)
        for memory, each in pool.memories.items()
    }
    ordered = order.ordered(starts, rooms)
    changes = {one.name: one.changes for one in running if actions.get(one.name) in {Action.CHANGED, Action.REPLACE}}
    steps = [
        Step(action, name, changes=changes.get(name, ())) for name, action in actions.items() if action not in STARTS
    ]
    levels = {memory: Left(room.available_bytes) for memory, room in rooms.items()}
    steps += [_step(start, levels, rooms, changes.get(start.name, ())) for start in ordered]
    return Admission(tuple(ordered), tuple(steps), spoken, rooms)


def can_start(starts: Sequence[PlannedStart], rooms: Mapping[str, Room]) -> bool:
    """Return whether these starts are admitted in some order."""
    return order.can_start(starts, rooms)


def fits_alone(need: Need, pool: Pool) -> bool:
    """Return whether a service can be started on the first GPU of a host on which nothing else runs."""
    gpu = need.gpu if need.gpu is None else need.gpu._replace(devices=Devices(ids=("0",)))
    start = PlannedStart("", Action.START, 0).needing(need._replace(gpu=gpu), pool)
    return can_start([start], {key: Room(of.available_bytes, of.reserve_bytes) for key, of in pool.memories.items()})


def foreign_bytes(running: Sequence[Running], pool: Pool, memory: str = HOST) -> int:
    """Return what is in use of a memory by whatever is none of sparkctl's services."""
    of = pool.memories.get(memory, pool)
    return max(0, of.total_bytes - of.available_bytes - sum(service.held(memory) for service in running))


def _action(wanted: Wanted, running: Running | None, *, replace: bool) -> Action:
    if running is None or running.state == "stopped":
        return Action.START
    if running.digest != wanted.digest or running.changes:
        return Action.REPLACE if replace else Action.CHANGED
    return Action.KEEP if running.state == "ready" else Action.WAIT


def _freed(running: Running | None, spoken: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return what comes back of each memory when a service ends: what it holds, and what was kept free for it."""
    if running is None:
        return {}
    of = spoken[running.name]
    return {memory: running.held(memory) + of.get(memory, 0) for memory in running.memories}


def _step(start: PlannedStart, levels: dict[str, Left], rooms: Mapping[str, Room], changes: tuple[str, ...]) -> Step:
    """Return the step of a start, and take from the levels what it keeps."""
    free: dict[str, int] = {}
    check: dict[str, int] = {}
    for memory, part in start.parts.items():
        level = levels[memory]
        level = levels[memory] = level._replace(available_bytes=level.available_bytes + part.freed_bytes)
        if part.takes or len(start.parts) == 1:
            free[memory] = level.beside(part) - part.peak_bytes - rooms[memory].reserve_bytes
        if part.check_bytes:
            check[memory] = level.beside(StartPart(memory)) - part.check_bytes
        levels[memory] = level.after(part)
    least = min(free, key=lambda memory: free[memory], default=HOST)
    first = min(check, key=lambda memory: check[memory], default=HOST)
    return Step(start.action, start.name, free.get(least), check.get(first), changes, least, first)
