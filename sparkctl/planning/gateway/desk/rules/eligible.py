"""Which services may be stopped for which others, and which of them are chosen. Pure.

A service may go if it is not kept, has no request in flight, has stayed as long as it must, and has a lower priority
(or an equal one, and nobody has asked for it during its idle time). Among the sets that make room, the one with the
fewest services goes, then that of the lowest priorities, then the one that loads fastest, then the longest idle.
Counts, groups and lists of combinations ignore the memory that they are about (llama-swap#158, llama.cpp#25326).
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final

from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.gateway.desk.rules import before
from sparkctl.planning.gateway.desk.service import HOLDING, DeskState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sparkctl.planning.gateway.desk.room import Fits
    from sparkctl.planning.gateway.desk.service import DeskService
    from sparkctl.planning.gateway.desk.state import DeskWork

MANY: Final = 8
"""With more services not every set is tried, a choice: 255 sums take about 20 ms."""


def may_go(one: DeskService, coming: DeskService) -> bool:
    """Return whether a service may ever be stopped for another one.

    A service that always runs is stopped only for a higher priority: it is never idle, since the agent restarts it.
    """
    if one.name == coming.name or one.protected:
        return False
    mine, others = one.declared.priority, coming.declared.priority
    return mine < others or (mine == others and one.declared.start is StartMode.ON_DEMAND)


def idle_bound_s(one: DeskService) -> float:
    """Return after how long without a request (seconds) it gives way to a service of the same priority.

    If its stack does not set its idle time, this is the time that it must stay: a choice.
    """
    declared = one.declared
    return declared.least_stay_s if declared.idle_s is None else declared.idle_s


def could_go(work: DeskWork, coming: DeskService) -> frozenset[str]:
    """Return the services that may be gone one day to make room for another one: stopped for it, or by being idle."""
    stay = before.company(work, coming)
    return frozenset(
        one.name
        for one in work.services.values()
        if one.state in HOLDING
        and not one.far
        and one.name not in stay
        and (one.state is DeskState.STOPPING or may_go(one, coming) or one.goes_by_idle)
    )


def evictable(work: DeskWork, coming: DeskService, *, overdue: bool) -> list[DeskService]:
    """Return the services that may be stopped for another one now.

    ``overdue``: a request for the other one has waited so long that services of the same or a lower priority accept
    nothing new, and are stopped when their last answer has ended. Elsewhere it is a known gap that a ready model is
    served however long others wait (mostlygeek/llama-swap PR #790).
    """
    return [one for one in work.services.values() if _may_go_now(work, one, coming, overdue=overdue)]


def _may_go_now(work: DeskWork, one: DeskService, coming: DeskService, *, overdue: bool) -> bool:
    if not one.up or not may_go(one, coming) or work.now < one.stays_until or one.name in before.company(work, coming):
        return False
    if overdue:
        return True
    lower = one.declared.priority < coming.declared.priority
    return work.quiet(one.name) and (lower or work.now - one.used_at >= idle_bound_s(one))


def chosen(candidates: Sequence[DeskService], fits: Fits, coming: str) -> frozenset[str] | None:
    """Return the services to stop, None if even stopping all of them makes no room."""
    ordered = sorted(candidates, key=_cost)
    if not ordered or not _fit(fits, ordered, coming):
        return None
    if len(ordered) > MANY:
        return _one_by_one(ordered, fits, coming)
    for number in range(1, len(ordered)):
        for those in sorted(combinations(ordered, number), key=_cost_of):
            if _fit(fits, those, coming):
                return _names(those)
    return _names(ordered)


def _one_by_one(ordered: Sequence[DeskService], fits: Fits, coming: str) -> frozenset[str]:
    """Return a set in which every service has to go; the most valuable services are spared first."""
    going = list(ordered)
    for one in reversed(ordered):
        fewer = [other for other in going if other is not one]
        if _fit(fits, fewer, coming):
            going = fewer
    return _names(going)


def _fit(fits: Fits, going: Iterable[DeskService], coming: str) -> bool:
    return fits(_names(going), (coming,)).fits


def _names(those: Iterable[DeskService]) -> frozenset[str]:
    return frozenset(one.name for one in those)


def _cost(one: DeskService) -> tuple[int, float, float, str]:
    return one.declared.priority, one.declared.load_s, one.used_at, one.name


def _cost_of(those: Sequence[DeskService]) -> tuple[list[int], float, float, list[str]]:
    """Return the key for comparing sets of the same size: lower priorities, shorter loads, longer idle times."""
    return (
        sorted((one.declared.priority for one in those), reverse=True),
        sum(one.declared.load_s for one in those),
        sum(one.used_at for one in those),
        sorted(one.name for one in those),
    )
