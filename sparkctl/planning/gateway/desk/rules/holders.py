"""The services that hold the memory another one waits for, and until when, in words. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.units import format_duration
from sparkctl.planning.gateway.desk.rules.eligible import idle_bound_s, may_go
from sparkctl.planning.gateway.desk.rules.idle import idle_at
from sparkctl.planning.gateway.desk.service import HOLDING, DeskState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkctl.planning.gateway.desk.service import DeskService
    from sparkctl.planning.gateway.desk.state import DeskWork


def holders(work: DeskWork, coming: DeskService) -> tuple[str, float | None]:
    """Return which services block a service, and in how many seconds the first of them may go (None: not known)."""
    if work.closed:
        return work.closed, None
    if work.look_why:
        return work.look_why, None
    starting = work.starting
    if starting and starting != coming.name:
        eta = work.services[starting].eta_at if starting in work.services else None
        return f"{starting} is starting, and starts are one at a time", None if eta is None else eta - work.now
    found = [_holds(work, one, coming) for one in _others(work, coming)]
    times = [left for _, left in found if left is not None]
    words = "; ".join(told for told, _ in found)
    return words or "memory has not come back yet", min(times, default=None)


def who_stays(work: DeskWork, coming: DeskService, could: frozenset[str]) -> str:
    """Return, as a further line, which services are counted as staying, "" if none are."""
    those = [f"{one.name} {_why(one, coming)}" for one in _others(work, coming) if one.name not in could]
    return f"\n  counted as staying: {'; '.join(those)}" if those else ""


def _others(work: DeskWork, coming: DeskService) -> Iterable[DeskService]:
    return [one for one in work.services.values() if one.state in HOLDING and not one.far and one.name != coming.name]


def _holds(work: DeskWork, one: DeskService, coming: DeskService) -> tuple[str, float | None]:
    if one.state is DeskState.STOPPING:
        return f"{one.name} is being stopped", None
    at = idle_at(one)
    until = None if at is None else max(at - work.now, 0.0)
    if not may_go(one, coming):
        then = "" if until is None else f", and goes after {format_duration(until)} without a request"
        return f"{one.name} {_why(one, coming)}{then}", until
    if not work.quiet(one.name):
        return _answers(work, one), None
    return _stays(work, one, coming)


def _answers(work: DeskWork, one: DeskService) -> str:
    number = work.serving(one.name)
    doing = f"answers {number} request{'s' if number != 1 else ''}" if number else "is asked directly"
    return f"{one.name} {doing}{', and is stuck' if one.state is DeskState.STUCK else ''}"


def _stays(work: DeskWork, one: DeskService, coming: DeskService) -> tuple[str, float | None]:
    stays, idle = one.stays_until - work.now, one.used_at + idle_bound_s(one) - work.now
    if stays > 0:
        return f"{one.name} has just been loaded and stays for {format_duration(stays)}", stays
    if one.declared.priority == coming.declared.priority and idle > 0:
        return f"{one.name} is in use, and gives way after {format_duration(idle)} without a request", idle
    return f"{one.name} is loaded", None


def _why(one: DeskService, coming: DeskService) -> str:
    """Return why a service is not stopped for another one."""
    if one.pinned:
        return "is pinned"
    if one.declared.keep:
        return "is kept"
    if one.protected:
        return "was started by hand"
    mine, others = one.declared.priority, coming.declared.priority
    return f"has the priority {mine}, {coming.name} {others}" if mine > others else "always runs"
