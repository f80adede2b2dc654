"""The ordered steps from the running services to the wanted ones, and whether each start is admitted. Pure.

Services are started one at a time, the next when the last is ready; the services that may start together follow from
that (``box.waves``). Each start is checked at two moments, beside everything started before it and everything that
runs and has not yet taken its claim:

* vLLM's own check, once its context is taken: it refuses unless the fraction of its command is free. The reserve counts
  as free here.
* its peak: the reserve has to stay free.

Afterwards it holds its steady bytes, which are no more than its peak.

On a GB10 all of this is in one memory. If GPUs have their own memory, a start takes a part of the memory of each of
its GPUs and a part of the host's, and each part must have room.
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
    """The action on a service: keep it as wanted, wait for its start, start it, or replace what differs."""

    KEEP = "keep"
    WAIT = "wait"
    START = "start"
    REPLACE = "replace"
    CHANGED = "changed"


STARTS: Final = frozenset({Action.START, Action.REPLACE})


class StartupCheck(NamedTuple):
    """vLLM's own check at its start: ``free >= ceil(fraction * total)`` (vLLM 0.33.0 v1/worker/utils.py).

    The service itself has already taken ``taken_bytes`` by then, or ``taken_own_bytes`` on a GPU with its own memory.
    ``counts_cache``: this vLLM counts the page cache of unified memory as used.
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
        """Return the same for a GPU's own memory."""
        return math.ceil(self.fraction * pool.total_bytes) + self.taken_own_bytes


class OnGpu(NamedTuple):
    """A service's part on each of its GPUs, its part in the host's memory, and its GPUs."""

    gpu: PlacePart
    host: PlacePart
    devices: Devices


class Need(NamedTuple):
    """What a service holds, and the most that it takes while it starts, in bytes, on its GPU and on the host together.

    ``check`` and ``gpu`` are None for a vLLM on the CPU. ``spread_bytes`` is by how much its steady bytes may exceed
    their middle; both numbers include it.
    """

    steady_bytes: int
    peak_bytes: int
    check: StartupCheck | None = None
    gpu: OnGpu | None = None
    spread_bytes: int = 0

    def parts(self, pool: Pool) -> dict[str, StartPart]:
        """Return the bytes that it takes of each memory of a host.

        Raises:
            InputError: it wants a GPU that the host does not have.
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
    """A setting that makes a service smaller: the argument of ``--set``, the same in words, and its cost.

    ``loss`` is in halvings of the context (sparkctl.ways).
    """

    override: str
    words: str
    loss: float


class Change(NamedTuple):
    """A smaller service: None leaves a number unchanged; ``switches`` are overrides."""

    context: int | None = None
    sequences: int | None = None
    switches: tuple[str, ...] = ()

    @property
    def overrides(self) -> tuple[str, ...]:
        """The change as ``--set`` takes it."""
        limits = {"limits.sequences": self.sequences, "limits.context": self.context}
        return (*self.switches, *(f"{path}={value}" for path, value in limits.items() if value is not None))


class Sizes(NamedTuple):
    """How a service can be made smaller: ``need`` is the need of a changed one, None if it cannot be changed so."""

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

    ``sizes`` and ``variants`` say how it could be smaller (None and (): not at all); they are used only for a set that
    does not fit. ``asked`` is the recipe or stack that the operator named, by default its own name. ``after`` are the
    services that have to be ready before it starts; names outside of the set do not count.
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

    ``check_free_bytes`` is what vLLM's own check finds free beyond what it needs. If the start uses several memories,
    each number is for the memory where it is least; ``memory`` and ``check_memory`` are the keys of these memories. For
    a step that is ``changed`` or ``replace``, ``changes`` say in words how the running service differs from the wanted
    one.
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
        """Whether there is room for this step."""
        return (self.free_bytes or 0) >= 0 and (self.check_free_bytes or 0) >= 0

    @property
    def needs_replace(self) -> bool:
        """Whether the step does nothing unless the operator allows a replacement."""
        return self.action is Action.CHANGED


class PlannedStart(NamedTuple):
    """A start: ``parts`` are its effects on each memory, by key; ``freed`` is what the replaced service gives back.

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
        """The most bytes that it takes, over all memories together."""
        return sum(part.peak_bytes for part in self.parts.values())

    def needing(self, need: Need, pool: Pool) -> PlannedStart:
        """Return the same start for a service with another need.

        Raises:
            InputError: it wants a GPU that the host has not.
        """
        taken = need.parts(pool)
        if not self.freed:  # a shortcut: this is called a thousand times if a set does not fit
            return PlannedStart(self.name, self.action, self.priority, self.freed, taken, self.after)
        given = {memory: count for memory, count in self.freed.items() if count or memory in taken}
        parts = {
            memory: taken.get(memory, StartPart(memory))._replace(freed_bytes=given.get(memory, 0))
            for memory in dict.fromkeys([*taken, *given])
            if memory in pool.memories
        }
        return self._replace(parts=parts)


class Admission(NamedTuple):
    """The decision about a set. ``starts`` are in their order.

    ``spoken`` is what each running service may still take, by memory. ``rooms`` are the memories before the first
    start, without the bytes that running services may still take.
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
    """The bytes of a memory that are available before a start, if everything started before it takes its most.

    ``spreads`` are by how much each earlier service may exceed its middle. They are not all at their most at once:
    their causes are independent, so together they exceed it by at most the root of the sum of their squares
    (``items.bound``).
    """

    available_bytes: int
    spreads: tuple[int, ...] = ()

    def beside(self, *parts: StartPart) -> int:
        """Return the bytes available to these parts, whose spreads are not all at their most at once."""
        return self.available_bytes + together(*self.spreads, *(part.spread_bytes for part in parts))

    def after(self, part: StartPart) -> Left:
        """Return what is left after a start, once it holds its steady bytes."""
        return Left(self.available_bytes - part.steady_bytes, (*self.spreads, part.spread_bytes))


def together(*spreads: int) -> int:
    """Return how much smaller the joint most of services is than the sum of each one's own most, in bytes."""
    return sum(spreads) - math.isqrt(sum(spread**2 for spread in spreads))


def admit(wanted: Sequence[Wanted], running: Sequence[Running], pool: Pool, *, replace: bool) -> Admission:
    """Return the services that are kept, awaited or changed, followed by the starts with what each leaves free.

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
    """Return the bytes of a memory that are used by anything other than sparkctl's services."""
    of = pool.memories.get(memory, pool)
    return max(0, of.total_bytes - of.available_bytes - sum(service.held(memory) for service in running))


def _action(wanted: Wanted, running: Running | None, *, replace: bool) -> Action:
    if running is None or running.state == "stopped":
        return Action.START
    if running.digest != wanted.digest or running.changes:
        return Action.REPLACE if replace else Action.CHANGED
    return Action.KEEP if running.state == "ready" else Action.WAIT


def _freed(running: Running | None, spoken: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return what each memory gets back when a service ends: what it holds, and what was kept free for it."""
    if running is None:
        return {}
    of = spoken[running.name]
    return {memory: running.held(memory) + of.get(memory, 0) for memory in running.memories}


def _step(start: PlannedStart, levels: dict[str, Left], rooms: Mapping[str, Room], changes: tuple[str, ...]) -> Step:
    """Return the step of a start, and subtract its steady bytes from the levels."""
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
