"""Which services may be stopped for which others, and which of them are. Pure.

A service may go if it is not kept, has no request in flight, has stayed as long as it must, and has a lower priority,
or an equal one and nobody has asked for it for as long as it may be idle. Of the sets that make room the one with the
fewest services goes, then that of the lowest priorities, then what is loaded again soonest, then what is idle longest.
Counts, groups and lists of combinations do without the memory that they are about (llama-swap#158, llama.cpp#25326).
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
"""Of more services not every set is tried, a choice: 255 sums take about 20 ms."""


def may_go(one: DeskService, coming: DeskService) -> bool:
    """Return whether a service may ever be stopped for another one.

    What always runs is stopped for a higher priority alone: it is never idle, since the agent starts it again.
    """
    if one.name == coming.name or one.protected:
        return False
    mine, others = one.declared.priority, coming.declared.priority
    return mine < others or (mine == others and one.declared.start is StartMode.ON_DEMAND)


def idle_bound_s(one: DeskService) -> float:
    """Return after how long without a request it gives way to one of the same priority.

    Where its stack does not say after how long it is idle, it is as long as it must stay: a choice.
    """
    declared = one.declared
    return declared.least_stay_s if declared.idle_s is None else declared.idle_s


def could_go(work: DeskWork, coming: DeskService) -> frozenset[str]:
    """Return the services that may be gone one day, so that another one has room: stopped for it, or by idle."""
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

    ``overdue``: a request for it has waited so long that those of the same or a lower priority take nothing new any
    more, and are stopped when their last answer has ended: that a ready model is served however long others wait is a
    noted gap elsewhere (mostlygeek/llama-swap PR #790).
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
    """Return the services to stop, None where even all of them make no room."""
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
    """Return a set without a service that need not go: the dearest ones are spared first."""
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
    """Return what sets of the same number are compared by: lower priorities, a shorter load, a longer idle."""
    return (
        sorted((one.declared.priority for one in those), reverse=True),
        sum(one.declared.load_s for one in those),
        sum(one.used_at for one in those),
        sorted(one.name for one in those),
    )
