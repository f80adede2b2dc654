"""The ordered steps from what runs to what is wanted, and whether each start is admitted. Pure.

Services are started one at a time; the next when the last is ready. Two moments of a start are looked at, each with
all that was started before it and all that runs and has not yet taken its claim:

* vLLM's own check, once its context is taken: it refuses unless the fraction of its command is free. The reserve counts
  as free here.
* its peak: the reserve has to stay free.

Afterwards it holds its steady bytes, which are no more than its peak.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.units import format_gib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sparkctl.memory.pool import Pool


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

    ``taken_bytes`` of its own are no longer free by then. ``counts_cache``: this vLLM takes the page cache for used.
    """

    fraction: float
    taken_bytes: int
    counts_cache: bool = False

    def wants(self, pool: Pool) -> int:
        """Return the bytes that have to be available before the start for the check to pass."""
        wanted = math.ceil(self.fraction * pool.total_bytes) + self.taken_bytes
        return wanted + pool.cache_bytes if self.counts_cache else wanted


class Need(NamedTuple):
    """What a service holds and takes at most while it starts, in bytes; ``check`` is None for a vLLM on the CPU."""

    steady_bytes: int
    peak_bytes: int
    check: StartupCheck | None = None


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


@dataclass(frozen=True, slots=True)
class Wanted:
    """A service that is to run. ``parts`` is its footprint as a line.

    ``sizes`` and ``variants`` say what of it could be less, None and () where nothing could; they are asked only for a
    set that does not fit. ``asked`` is the recipe or stack that it was asked for by, its own name unless said.
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

    @property
    def need(self) -> Need:
        """What it needs."""
        return Need(self.steady_bytes, self.peak_bytes, self.check)


@dataclass(frozen=True, slots=True)
class Running:
    """A service that has a container. ``state`` is ready, starting or stopped; a stopped one holds nothing.

    ``claim_bytes`` is what it will hold, ``peak_bytes`` the most that it takes until then, ``resident_bytes`` what it
    holds now; None where that is not known. Without a claim it counts as what it holds, and ``doubt`` says so.
    ``changes`` are in words how it differs from what is wanted of it. ``priority`` None is not known either.
    """

    name: str
    recipe: str
    digest: str | None
    state: str
    claim_bytes: int | None
    resident_bytes: int | None = None
    priority: int | None = 0
    peak_bytes: int | None = None
    changes: tuple[str, ...] = ()

    @property
    def outstanding_bytes(self) -> int:
        """What it has claimed and not yet taken."""
        return self._still_to_take(self.claim_bytes)

    @property
    def unfinished_bytes(self) -> int:
        """What it may still take beside another's start: while it starts itself, up to its peak."""
        known = [self.claim_bytes, self.peak_bytes if self.state == "starting" else None]
        return self._still_to_take(max((one for one in known if one is not None), default=None))

    @property
    def doubt(self) -> str:
        """What is not known of the memory that it will hold, in words; "" where nothing is."""
        if self.state == "stopped":
            return ""
        if self.claim_bytes is not None:
            known = self.peak_bytes is not None or self.state != "starting"
            return "" if known else f"what {self.name} takes at most while it starts is not known: its claim is counted"
        unknown = f"the claim of {self.name} is not known"
        if self.resident_bytes is None:
            return f"{unknown}, nor what its processes hold: nothing is counted for it but what is in use already"
        more = "; what it still takes for its start is not known" if self.state == "starting" else ""
        return f"{unknown}: it counts as the {format_gib(self.resident_bytes)} that its processes hold{more}"

    def _still_to_take(self, whole: int | None) -> int:
        if self.state == "stopped" or whole is None:
            return 0
        if self.resident_bytes is None:
            return whole if self.state == "starting" else 0
        return max(0, whole - self.resident_bytes)

    @property
    def held_bytes(self) -> int:
        """What comes back when it ends: what it holds, as far as that is known."""
        if self.state == "stopped":
            return 0
        if self.resident_bytes is None:
            return self.claim_bytes or 0 if self.state == "ready" else 0
        return self.resident_bytes


@dataclass(frozen=True, slots=True)
class Step:
    """One action on one service. ``free_bytes`` is what a start leaves above the reserve at its peak.

    ``check_free_bytes`` is what vLLM's own check finds free beyond what it asks for. ``changes`` are in words how what
    runs differs from what is wanted, for a step that is ``changed`` or ``replace``.
    """

    action: Action
    service: str
    free_bytes: int | None = None
    check_free_bytes: int | None = None
    changes: tuple[str, ...] = ()

    @property
    def admitted(self) -> bool:
        """Whether there is room for it."""
        return (self.free_bytes or 0) >= 0 and (self.check_free_bytes or 0) >= 0

    @property
    def needs_replace(self) -> bool:
        """Whether nothing happens to it unless the operator allows to replace it."""
        return self.action is Action.CHANGED


@dataclass(frozen=True, slots=True)
class PlannedStart:
    """A start: ``freed_bytes`` come back just before it, from the one that it replaces.

    ``check_bytes`` have to be available for vLLM's own check, 0 where there is none.
    """

    name: str
    action: Action
    peak_bytes: int
    steady_bytes: int
    freed_bytes: int
    check_bytes: int
    priority: int

    def needing(self, need: Need, pool: Pool) -> PlannedStart:
        """Return the same start of a service with another need."""
        peak = max(need.peak_bytes, need.steady_bytes)
        check = need.check.wants(pool) if need.check is not None else 0
        return PlannedStart(self.name, self.action, peak, need.steady_bytes, self.freed_bytes, check, self.priority)


@dataclass(frozen=True, slots=True)
class Admission:
    """What is decided of a set. ``starts`` are in their order; ``spoken`` is what running services may still take.

    ``available_bytes`` is there before the first start, without what is spoken for.
    """

    starts: tuple[PlannedStart, ...]
    steps: tuple[Step, ...]
    spoken: Mapping[str, int]
    available_bytes: int

    @property
    def fits(self) -> bool:
        """Whether every start is admitted."""
        return all(step.admitted for step in self.steps)


def admit(wanted: Sequence[Wanted], running: Sequence[Running], pool: Pool, *, replace: bool) -> Admission:
    """Return what is kept, waited for or changed, and then the starts with what each leaves free."""
    now = {service.name: service for service in running}
    actions = {one.name: _action(one, now.get(one.name), replace=replace) for one in wanted}
    waited = {name for name, action in actions.items() if action is Action.WAIT}
    spoken = {one.name: one.outstanding_bytes if one.name in waited else one.unfinished_bytes for one in running}
    starts = [
        _start(one, action, now[one.name].held_bytes + spoken[one.name] if one.name in now else 0, pool)
        for one in wanted
        if (action := actions[one.name]) in STARTS
    ]
    available = pool.available_bytes - sum(spoken.values())
    ordered = _ordered(starts, available, pool.reserve_bytes)
    changes = {one.name: one.changes for one in running if actions.get(one.name) in {Action.CHANGED, Action.REPLACE}}
    steps = [
        Step(action, name, changes=changes.get(name, ())) for name, action in actions.items() if action not in STARTS
    ]
    left = available
    for start in ordered:
        left += start.freed_bytes
        check = left - start.check_bytes if start.check_bytes else None
        free = left - start.peak_bytes - pool.reserve_bytes
        steps.append(Step(start.action, start.name, free, check, changes.get(start.name, ())))
        left -= start.steady_bytes
    return Admission(tuple(ordered), tuple(steps), spoken, available)


def can_start(starts: Sequence[PlannedStart], available_bytes: int, reserve_bytes: int) -> bool:
    """Return whether these starts are admitted in some order."""
    return _passes(starts, available_bytes, reserve_bytes)


def foreign_bytes(running: Sequence[Running], pool: Pool) -> int:
    """Return what is in use by whatever is none of sparkctl's services."""
    return max(0, pool.total_bytes - pool.available_bytes - sum(service.held_bytes for service in running))


def _action(wanted: Wanted, running: Running | None, *, replace: bool) -> Action:
    if running is None or running.state == "stopped":
        return Action.START
    if running.digest != wanted.digest or running.changes:
        return Action.REPLACE if replace else Action.CHANGED
    return Action.KEEP if running.state == "ready" else Action.WAIT


def _start(wanted: Wanted, action: Action, freed_bytes: int, pool: Pool) -> PlannedStart:
    return PlannedStart(wanted.name, action, 0, 0, freed_bytes, 0, wanted.priority).needing(wanted.need, pool)


# --- the order -------------------------------------------------------------------------------------------------------


def _ordered(starts: Sequence[PlannedStart], available: int, reserve: int) -> list[PlannedStart]:
    """Return the order of the least peak among those that vLLM's checks let start; where none does, the nearest to it.

    Without checks that is a sort. Where a check stands in its way, the order is looked for that leaves the most free at
    every peak: with ``free`` as that much, a start wants what is more of its peak and its check less ``free``, the best
    order for these is a sort again, and the largest ``free`` for which it passes is found by halving.
    """
    best = _sorted(starts, free=None)
    most = _least_free(best, available)
    if most < reserve or _checks_pass(best, available):
        return best
    low, high = reserve, most
    if not _passes(starts, available, low):
        return _sorted(starts, free=low)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _passes(starts, available, middle) else (low, middle - 1)
    return _sorted(starts, free=low)


def _passes(starts: Sequence[PlannedStart], available: int, free: int) -> bool:
    order = _sorted(starts, free=free)
    return not order or (_least_free(order, available) >= free and _checks_pass(order, available))


def _sorted(starts: Sequence[PlannedStart], *, free: int | None) -> list[PlannedStart]:
    """Return the order that needs the least; ``free`` is what every peak has to leave, None: checks do not count.

    First what gives back more than it takes, the least demanding first, as each makes room for the next; then the
    rest by what their start takes beyond what they keep, the largest first. Any two neighbours that stand otherwise
    can be exchanged without needing more. Ties: the higher priority first.
    """

    def key(start: PlannedStart) -> tuple[bool, int, int]:
        gives = start.freed_bytes >= start.steady_bytes
        need = start.peak_bytes if free is None else max(start.peak_bytes, start.check_bytes - free)
        weight = need - start.freed_bytes if gives else start.steady_bytes - need
        return not gives, weight, -start.priority

    return sorted(starts, key=key)


def _levels(order: Sequence[PlannedStart], available: int) -> Iterator[tuple[PlannedStart, int]]:
    """Yield each start with what is available just before it."""
    for start in order:
        available += start.freed_bytes
        yield start, available
        available -= start.steady_bytes


def _least_free(order: Sequence[PlannedStart], available: int) -> int:
    return min((level - start.peak_bytes for start, level in _levels(order, available)), default=available)


def _checks_pass(order: Sequence[PlannedStart], available: int) -> bool:
    return all(level >= start.check_bytes for start, level in _levels(order, available) if start.check_bytes)
