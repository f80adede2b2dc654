"""The ordered steps from what runs to what is wanted, and whether each start is admitted. Pure.

Services are started one at a time; the next when the last is ready. A start is admitted when, at its peak, with all
that was started before it and all that runs and has not yet taken its claim, the reserve stays free; and when vLLM's
own check at its start will find as much free as the fraction of its command says.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sparkctl.memory.pool import Pool


class Action(StrEnum):
    """What happens to a service: it runs as wanted; it is starting so; it starts; it differs from what is wanted."""

    KEEP = "keep"
    WAIT = "wait"
    START = "start"
    REPLACE = "replace"
    CHANGED = "changed"


STARTS: Final = frozenset({Action.START, Action.REPLACE})


class Need(NamedTuple):
    """What a service holds, takes at most while it starts, and what vLLM's own check wants free, in bytes."""

    steady_bytes: int
    peak_bytes: int
    check_bytes: int = 0


class Setting(NamedTuple):
    """What of a service could be less: its context and sequences; whether 8-bit cache and text alone are open to it."""

    context: int
    sequences: int
    may_halve_cache: bool = False
    may_drop_inputs: bool = False


class Change(NamedTuple):
    """A smaller service: None leaves a number as it is."""

    context: int | None = None
    sequences: int | None = None
    halved_cache: bool = False
    text_only: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """A service that is to run. ``parts`` is its footprint as a line.

    ``check_bytes`` is what vLLM's own check wants free, the context that it has taken by then included; 0 for none.
    ``resized`` says what a changed service would need, None where it cannot be changed so; ``setting`` is what of it
    could be less, and ``variants`` gives the recipes of the same model with what they need. ``asked`` is the recipe
    or stack that it was asked for by, its own name unless said.
    """

    name: str
    recipe: str
    digest: str
    steady_bytes: int
    peak_bytes: int
    priority: int = 0
    parts: str = ""
    check_bytes: int = 0
    resized: Callable[[Change], Need | None] | None = None
    setting: Setting | None = None
    variants: Callable[[], Iterable[tuple[str, Need]]] | None = None
    asked: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """A service that has a container. ``state`` is ready, starting or stopped; a stopped one holds nothing.

    ``resident_bytes`` is what it holds now, None where that is not known.
    """

    name: str
    recipe: str
    digest: str
    state: str
    claim_bytes: int
    resident_bytes: int | None = None
    priority: int = 0

    @property
    def outstanding_bytes(self) -> int:
        """What it has claimed and not yet taken."""
        if self.state == "stopped":
            return 0
        if self.resident_bytes is None:
            return self.claim_bytes if self.state == "starting" else 0
        return max(0, self.claim_bytes - self.resident_bytes)

    @property
    def held_bytes(self) -> int:
        """What comes back when it ends: what it holds, as far as that is known."""
        if self.state == "stopped":
            return 0
        if self.resident_bytes is None:
            return self.claim_bytes if self.state == "ready" else 0
        return self.resident_bytes


@dataclass(frozen=True, slots=True)
class Step:
    """One action on one service. ``free_bytes`` is what a start leaves above the reserve at its peak.

    ``check_free_bytes`` is what vLLM's own check finds free beyond what it asks for.
    """

    action: Action
    service: str
    free_bytes: int | None = None
    check_free_bytes: int | None = None

    @property
    def admitted(self) -> bool:
        """Whether there is room for it."""
        return (self.free_bytes or 0) >= 0 and (self.check_free_bytes or 0) >= 0

    @property
    def needs_replace(self) -> bool:
        """Whether nothing happens to it unless the operator allows to replace it."""
        return self.action is Action.CHANGED


@dataclass(frozen=True, slots=True)
class Start:
    """A start: ``freed_bytes`` come back just before it, from the one that it replaces."""

    name: str
    action: Action
    peak_bytes: int
    steady_bytes: int
    freed_bytes: int
    check_bytes: int
    priority: int

    def need_bytes(self, reserve_bytes: int) -> int:
        """Return what has to be free above the reserve: its peak; vLLM's check may use the reserve."""
        return max(self.peak_bytes, self.check_bytes - reserve_bytes)


def action_of(wanted: Wanted, running: Running | None, *, replace: bool) -> Action:
    """Return what happens to a wanted service."""
    if running is None or running.state == "stopped":
        return Action.START
    if running.digest != wanted.digest:
        return Action.REPLACE if replace else Action.CHANGED
    return Action.KEEP if running.state == "ready" else Action.WAIT


def steps_of(wanted: Sequence[Wanted], running: Sequence[Running], pool: Pool, *, replace: bool) -> tuple[Step, ...]:
    """Return what is kept, waited for or changed, and then the starts with what each leaves free."""
    now = {service.name: service for service in running}
    actions = {one.name: action_of(one, now.get(one.name), replace=replace) for one in wanted}
    steps = [Step(action, name) for name, action in actions.items() if action not in STARTS]
    starts = [start_of(one, actions[one.name], now.get(one.name)) for one in wanted if actions[one.name] in STARTS]
    free = pool.free_bytes - sum(service.outstanding_bytes for service in running)
    for start in _ordered(starts, pool.reserve_bytes):
        free += start.freed_bytes
        check = free + pool.reserve_bytes - start.check_bytes if start.check_bytes else None
        steps.append(Step(start.action, start.name, free - start.peak_bytes, check))
        free -= start.steady_bytes
    return tuple(steps)


def fit(steps: Sequence[Step]) -> bool:
    """Return whether every start is admitted."""
    return all(step.admitted for step in steps)


def start_of(wanted: Wanted, action: Action, running: Running | None) -> Start:
    """Return the start of a wanted service beside, or instead of, the one that runs."""
    peak = max(wanted.peak_bytes, wanted.steady_bytes)
    freed = comes_back(running) if running is not None else 0
    return Start(wanted.name, action, peak, wanted.steady_bytes, freed, wanted.check_bytes, wanted.priority)


def comes_back(running: Running) -> int:
    """Return what is free again, or no longer spoken for, when a service ends."""
    return running.held_bytes + running.outstanding_bytes


def _ordered(starts: Sequence[Start], reserve_bytes: int) -> list[Start]:
    """Return the order of the least peak.

    First what gives back more than it takes, the least demanding first, as each makes room for the next; then the
    rest by what their start takes beyond what they keep, the largest first. Any two neighbours that stand otherwise
    can be exchanged without needing more. Ties: the higher priority first.
    """

    def key(start: Start) -> tuple[bool, int, int]:
        gives = start.freed_bytes >= start.steady_bytes
        need = start.need_bytes(reserve_bytes)
        weight = need - start.freed_bytes if gives else start.steady_bytes - need
        return not gives, weight, -start.priority

    return sorted(starts, key=key)
