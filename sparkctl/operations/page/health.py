"""Is the box well? One sentence, with the next step where there is one. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.units import format_duration, format_gib
from sparkctl.operations.page import bar
from sparkctl.operations.page.view import NOT_YET, HealthSentence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparkctl.operations.page.view import BoxView, MemoryNow

WELL, BUSY, ILL = "well", "busy", "ill"
TROUBLED: Final = ("held", "dead", "failing", "stuck")
"""Phases of a service that somebody has to look at, the worst first."""
GOING: Final = ("starting", "stopping", "draining")
UP: Final = frozenset({"running", "ready", "busy"})


def sentence(view: BoxView) -> HealthSentence:
    """Return the state of the box: the worst that applies, and what to do about it."""
    return next(found for found in (rule(view) for rule in _RULES) if found is not None)


def _engine(view: BoxView) -> HealthSentence | None:
    if view.problem is None:
        return None
    return HealthSentence(ILL, f"Nothing can be seen: {view.problem.words}", view.problem.todo)


def _guard_closed(view: BoxView) -> HealthSentence | None:
    if not (view.guard.closed or view.agent.closed):
        return None
    left = view.guard.available_bytes
    told = view.agent.closed or "memory ran short, and the guard lets nothing start"
    told += f" ({format_gib(left)} are available)" if left is not None and not view.agent.closed else ""
    return HealthSentence(ILL, told[:1].upper() + told[1:], _release(view, view.memory))


def _short(view: BoxView) -> HealthSentence | None:
    for memory in view.memories:
        short = bar.short_bytes(memory)
        if short:
            told = f"{format_gib(short)} of the reserve of {memory.name} are in use: nothing more is started"
            foreign = bar.foreign_bytes(memory)
            told += f"; {format_gib(foreign)} are held by what is not sparkctl's" if foreign else ""
            return HealthSentence(ILL, told, _release(view, memory))
    return None


def _release(view: BoxView, memory: MemoryNow | None) -> str:
    """Return which service would be stopped to free memory: of the lowest priority, the one that holds most."""
    held = {one.name: one.held_bytes for one in (() if memory is None else memory.holders) if one.held_bytes}
    up = [one for one in view.services if one.name in held and one.phase in UP and not one.keep and not one.pinned]
    if not up:
        return "end what else takes memory on this host"
    one = min(up, key=lambda one: (one.priority or 0, -held[one.name]))
    return f"stop {one.name}, which holds {format_gib(held[one.name])}, or end what else takes memory"


def _troubled(view: BoxView) -> HealthSentence | None:
    for phase in TROUBLED:
        found = [one for one in view.services if one.phase == phase]
        if found:
            first, others = found[0], len(found) - 1
            told = f"{first.name} is {phase}" + (f": {first.words.removeprefix(f'{phase}: ')}" if first.words else "")
            told += f" (and {others} more)" if others else ""
            return HealthSentence(ILL, told, first.todo or f"sparkctl status {first.name}")
    return None


def _guard_missing(view: BoxView) -> HealthSentence | None:
    if view.simulated or not view.guard.problem:
        return None
    told = f"{_state(view)}, but {view.guard.problem}"
    fix = "sparkctl agent install sets one up" if not view.guard.running else "sparkctl guard status says more"
    return HealthSentence(BUSY, told, fix)


def _not_read(view: BoxView) -> HealthSentence | None:
    if not view.warnings:
        return None
    first = view.warnings[0]
    return HealthSentence(BUSY, f"{_state(view)}, but {first.words}", first.todo)


def _host_silent(view: BoxView) -> HealthSentence | None:
    silent = [one for one in view.gateway.hosts if one.problem is not None and one.problem != NOT_YET]
    if not silent:
        return None
    first, others = silent[0], len(silent) - 1
    told = f"{_state(view)}, but host {first.name} does not answer" + (f" (and {others} more)" if others else "")
    words, todo = ("", "") if first.problem is None else first.problem
    return HealthSentence(BUSY, f"{told}: {words}", todo)


def _applying(view: BoxView) -> HealthSentence | None:
    told = view.gateway.applying
    if not told:
        return None
    return HealthSentence(BUSY, f"{told[:1].upper()}{told[1:]}. {_state(view)}", "sparkctl history shows it")


def _going(view: BoxView) -> HealthSentence | None:
    going = [one for one in view.services if one.phase in GOING]
    if not going:
        return None
    one = going[0]
    left = f", about {format_duration(max(1.0, one.eta_s))} left" if one.eta_s is not None else ""
    more = f", and {len(going) - 1} more" if len(going) > 1 else ""
    return HealthSentence(BUSY, f"{one.name} is {one.phase}{left}{more}. {_state(view)}")


def _as_it_should(view: BoxView) -> HealthSentence | None:
    return HealthSentence(WELL, f"All is well: {_state(view)}", _first_step(view))


def _state(view: BoxView) -> str:
    up = [one.name for one in view.services if one.phase in UP]
    told = f"{_listed(up)} {'answers' if len(up) == 1 else 'answer'}" if up else "nothing runs"
    memory = view.memory
    return told if memory is None else f"{told}, {format_gib(bar.to_start_bytes(memory))} are free to start more"


def _first_step(view: BoxView) -> str:
    if view.services:
        return ""
    return "" if view.agent.generation is not None else "sparkctl apply STACK says what this host runs"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


_RULES: Final[tuple[Callable[[BoxView], HealthSentence | None], ...]] = (
    _engine,
    _guard_closed,
    _short,
    _troubled,
    _applying,
    _not_read,
    _guard_missing,
    _going,
    _host_silent,
    _as_it_should,
)
"""The worst first; the last always answers."""
