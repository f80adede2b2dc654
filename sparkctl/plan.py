"""The ordered steps from what runs to what is wanted, or the refusal with its arithmetic. Pure.

Services are started one at a time; the next when the last is ready. A start is admitted when, at its peak, with all
that was started before it and all that runs and has not yet taken its claim, the reserve stays free.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from sparkctl.units import GIB, format_gib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sparkctl.memory.pool import Pool, Smaller


class Action(StrEnum):
    """What happens to a service: it runs as wanted; it is starting so; it starts; it differs from what is wanted."""

    KEEP = "keep"
    WAIT = "wait"
    START = "start"
    REPLACE = "replace"
    CHANGED = "changed"


_STARTS: Final = frozenset({Action.START, Action.REPLACE})


@dataclass(frozen=True, slots=True)
class Wanted:
    """A service that is to run. ``parts`` is its footprint as a line; ``smaller`` what less of it would need."""

    name: str
    recipe: str
    digest: str
    steady_bytes: int
    peak_bytes: int
    priority: int = 0
    parts: str = ""
    smaller: tuple[Smaller, ...] = ()


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
    """One action on one service. ``free_bytes`` is what a start leaves above the reserve at its peak."""

    action: Action
    service: str
    free_bytes: int | None = None

    @property
    def needs_replace(self) -> bool:
        """Whether nothing happens to it unless the operator allows to replace it."""
        return self.action is Action.CHANGED


@dataclass(frozen=True, slots=True)
class Plan:
    """The decision. ``order`` are the starts; ``reasons`` say, line by line, why the set does not fit."""

    fits: bool
    pool: Pool
    steps: tuple[Step, ...]
    reasons: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[str, ...]:
        """The services that are started, first to last."""
        return tuple(step.service for step in self.steps if step.action in _STARTS)


@dataclass(frozen=True, slots=True)
class _Start:
    """A start: ``freed_bytes`` come back just before it, from the one that it replaces."""

    name: str
    action: Action
    peak_bytes: int
    steady_bytes: int
    freed_bytes: int
    priority: int


def make_plan(wanted: Sequence[Wanted], running: Sequence[Running], pool: Pool, *, replace: bool) -> Plan:
    """Return the steps that bring ``wanted`` up beside ``running``, or a plan that does not fit and says why.

    ``replace`` allows to stop and start again what runs with another digest; without it that is a step ``changed``,
    which is no refusal.
    """
    steps = _steps(wanted, running, pool, replace=replace)
    if _fit(steps):
        return Plan(fits=True, pool=pool, steps=steps)
    reasons = [*_arithmetic(wanted, running, pool, steps), *_ways_out(wanted, running, pool, replace=replace)]
    return Plan(fits=False, pool=pool, steps=steps, reasons=tuple(reasons))


def describe(plan: Plan) -> list[list[str]]:
    """Return a table's rows: the number of the step, the action, the service, what is left free at its peak in GiB."""
    return [
        [str(number), str(step.action), step.service, "" if step.free_bytes is None else f"{step.free_bytes / GIB:.1f}"]
        for number, step in enumerate(plan.steps, 1)
    ]


def _action(wanted: Wanted, running: Running | None, *, replace: bool) -> Action:
    if running is None or running.state == "stopped":
        return Action.START
    if running.digest != wanted.digest:
        return Action.REPLACE if replace else Action.CHANGED
    return Action.KEEP if running.state == "ready" else Action.WAIT


def _steps(wanted: Sequence[Wanted], running: Sequence[Running], pool: Pool, *, replace: bool) -> tuple[Step, ...]:
    """Return what is kept, waited for or changed, and then the starts with what each leaves free."""
    now = {service.name: service for service in running}
    actions = {one.name: _action(one, now.get(one.name), replace=replace) for one in wanted}
    steps = [Step(action, name) for name, action in actions.items() if action not in _STARTS]
    starts = [_start(one, actions[one.name], now.get(one.name)) for one in wanted if actions[one.name] in _STARTS]
    free = pool.free_bytes - sum(service.outstanding_bytes for service in running)
    for start in _ordered(starts):
        free += start.freed_bytes
        steps.append(Step(start.action, start.name, free - start.peak_bytes))
        free -= start.steady_bytes
    return tuple(steps)


def _fit(steps: Sequence[Step]) -> bool:
    return all(step.free_bytes is None or step.free_bytes >= 0 for step in steps)


def _start(wanted: Wanted, action: Action, running: Running | None) -> _Start:
    peak = max(wanted.peak_bytes, wanted.steady_bytes)
    freed = _comes_back(running) if running is not None else 0
    return _Start(wanted.name, action, peak, wanted.steady_bytes, freed, wanted.priority)


def _comes_back(running: Running) -> int:
    """Return what is free again, or no longer spoken for, when a service ends."""
    return running.held_bytes + running.outstanding_bytes


def _ordered(starts: Sequence[_Start]) -> list[_Start]:
    """Return the order of the least peak.

    First what gives back more than it takes, the least demanding first, as each makes room for the next; then the
    rest by what their start takes beyond what they keep, the largest first. Any two neighbours that stand otherwise
    can be exchanged without needing more. Ties: the higher priority first.
    """

    def key(start: _Start) -> tuple[bool, int, int]:
        gives = start.freed_bytes >= start.steady_bytes
        weight = start.peak_bytes - start.freed_bytes if gives else start.steady_bytes - start.peak_bytes
        return not gives, weight, -start.priority

    return sorted(starts, key=key)


# --- the refusal -----------------------------------------------------------------------------------------------------


def _arithmetic(
    wanted: Sequence[Wanted], running: Sequence[Running], pool: Pool, steps: Sequence[Step]
) -> Iterator[str]:
    """Yield the sum up to the first start that does not fit."""
    short = next(step for step in steps if step.free_bytes is not None and step.free_bytes < 0)
    yield f"{short.service} does not fit: {format_gib(-(short.free_bytes or 0))} are missing when it starts"
    yield _line("", pool.available_bytes, f"available, of {format_gib(pool.total_bytes)}")
    yield _line("-", pool.reserve_bytes, "reserve")
    for service in running:
        if service.outstanding_bytes:
            yield _line("-", service.outstanding_bytes, f"claimed by {service.name} and not yet taken")
    now = {service.name: service for service in running}
    services = {service.name: service for service in wanted}
    for step in (one for one in steps if one.action in _STARTS):
        start = _start(services[step.service], step.action, now.get(step.service))
        parts = f": {services[step.service].parts}" if services[step.service].parts else ""
        if start.freed_bytes:
            yield _line("+", start.freed_bytes, f"given back by the {step.service} that is replaced")
        if step is short:
            yield _line("-", start.peak_bytes, f"{step.service} while it starts{parts}")
            break
        yield _line("-", start.steady_bytes, f"{step.service}{parts}")
    yield _line("=", short.free_bytes or 0, "")
    later = [one.service for one in steps[steps.index(short) + 1 :]]
    if later:
        yield f"  after it would start: {', '.join(later)}"


def _line(sign: str, count: int, what: str) -> str:
    return f"  {sign:1} {format_gib(count):>10}  {what}".rstrip()


def _ways_out(wanted: Sequence[Wanted], running: Sequence[Running], pool: Pool, *, replace: bool) -> Iterator[str]:
    """Yield what would make it fit, each found by planning again."""

    def fits(these: Sequence[Wanted], beside: Sequence[Running], left: Pool) -> bool:
        return _fit(_steps(these, beside, left, replace=replace))

    ways: list[str] = []
    for service in wanted:
        ways += _smaller_settings(service, wanted, lambda these: fits(these, running, pool))
    ways += _without_running(wanted, running, pool, fits)
    ways += _without_wanted(wanted, lambda these: fits(these, running, pool))
    yield from [f"it fits {way}" for way in ways] or ["no smaller setting and no service less makes it fit"]


def _smaller_settings(
    service: Wanted, wanted: Sequence[Wanted], fits: Callable[[Sequence[Wanted]], bool]
) -> Iterator[str]:
    """Yield, for each setting of a service, its least change that makes the set fit."""
    found = set()
    for smaller in service.smaller:
        setting = smaller.change.partition("=")[0]
        less = replace(service, steady_bytes=smaller.steady_bytes, peak_bytes=smaller.peak_bytes)
        if setting not in found and fits([less if one is service else one for one in wanted]):
            found.add(setting)
            yield f"with {smaller.change} for {service.name}"


def _without_running(
    wanted: Sequence[Wanted],
    running: Sequence[Running],
    pool: Pool,
    fits: Callable[[Sequence[Wanted], Sequence[Running], Pool], bool],
) -> Iterator[str]:
    """Yield each running service whose end is enough; if none is, the fewest together that are."""
    names = {service.name for service in wanted}
    others = sorted((one for one in running if one.name not in names), key=_comes_back, reverse=True)

    def enough(ended: Sequence[Running]) -> bool:
        back = sum(one.held_bytes for one in ended)
        return fits(
            wanted,
            [one for one in running if one not in ended],
            replace(pool, available_bytes=pool.available_bytes + back),
        )

    singles = [one for one in others if enough([one])]
    if singles:
        yield from (f"after sparkctl down {one.name}" for one in singles)
        return
    # What several give back is their sum, so the largest together are the fewest.
    for count in range(2, len(others) + 1):
        if enough(others[:count]):
            yield f"after sparkctl down {' '.join(one.name for one in others[:count])}"
            return


def _without_wanted(wanted: Sequence[Wanted], fits: Callable[[Sequence[Wanted]], bool]) -> Iterator[str]:
    """Yield each wanted service without which the others fit; if none is, those of low priority that are together."""
    singles = [one for one in wanted if len(wanted) > 1 and fits([other for other in wanted if other is not one])]
    if singles:
        yield from (f"without {one.name}" for one in singles)
        return
    left = sorted(wanted, key=lambda one: (-one.priority, one.steady_bytes))
    for count in range(len(left) - 2, 0, -1):
        if fits(left[:count]):
            yield f"without {', '.join(one.name for one in left[count:])}"
            return
