"""In which order a stack is put into effect: nothing that works is stopped sooner than it has to be. Pure.

Services that are new come first, as far as memory allows; then what changed, one at a time, since each gives back what
it held before its successor takes more; what goes comes last. What goes is stopped first only where its memory is
needed, and then as few of it as are enough.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.planning.admission import STARTS, Action
from sparkctl.planning.plan import make_plan

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sparkctl.memory.pool import Pool
    from sparkctl.planning.admission import Wanted
    from sparkctl.planning.plan import Plan
    from sparkctl.planning.running import Running

_MOST_CHOSEN: Final = 8
"""Services that go of which every choice is tried: 256 plans. Of more, those that hold most go first."""


class ActKind(StrEnum):
    """What is done: services are waited for, started or replaced, each proved ready, or they are removed."""

    WAIT = "wait"
    START = "start"
    REPLACE = "replace"
    REMOVE = "remove"


class Act(NamedTuple):
    """One thing that is done with one or several services; the next begins when it has come to its end."""

    kind: ActKind
    services: tuple[str, ...]


class Arranged(NamedTuple):
    """What is done, in its order, and the plan of the whole set; () where that does not fit."""

    acts: tuple[Act, ...]
    plan: Plan

    @property
    def fits(self) -> bool:
        """Whether the set fits."""
        return self.plan.fits


def arranged(wanted: Sequence[Wanted], running: Sequence[Running], pool: Pool, goes: Collection[str]) -> Arranged:
    """Return how ``wanted`` comes to run beside ``running``, of which the services in ``goes`` end.

    What runs otherwise than it is wanted is replaced.

    Raises:
        InputError: a service wants a GPU that the host has not.
    """
    going = [one for one in running if one.name in goes]
    plan = make_plan(wanted, running, pool, replace=True)
    for first in _choices(going):
        staying, room = [one for one in running if one not in first], _without(pool, first)
        plan = make_plan(wanted, staying, room, replace=True) if first else plan
        if plan.fits:
            names = {one.name for one in first}
            acts = [
                *_waits(plan),
                *(Act(ActKind.REMOVE, (one.name,)) for one in first),
                *_starts(wanted, staying, room, plan),
                *(Act(ActKind.REMOVE, (one.name,)) for one in going if one.name not in names),
            ]
            return Arranged(tuple(acts), plan)
    return Arranged((), plan)


def _choices(going: Sequence[Running]) -> Iterator[tuple[Running, ...]]:
    """Yield what could go before anything starts: nothing, and then ever more, of low priority before of high."""
    if len(going) > _MOST_CHOSEN:
        most = sorted(going, key=lambda one: -one.held_bytes)
        yield from (tuple(most[:count]) for count in range(len(most) + 1))
        return
    for count in range(len(going) + 1):
        yield from sorted(combinations(going, count), key=lambda some: sum(one.priority or 0 for one in some))


def _without(pool: Pool, gone: Sequence[Running]) -> Pool:
    for one in gone:
        for memory in one.memories:
            pool = pool.with_more(one.held(memory), memory)
    return pool


def _waits(plan: Plan) -> list[Act]:
    """Return what is waited for: it starts already, and as it is wanted."""
    waited = tuple(step.service for step in plan.steps if step.action is Action.WAIT)
    return [Act(ActKind.WAIT, waited)] if waited else []


def _starts(wanted: Sequence[Wanted], running: Sequence[Running], pool: Pool, plan: Plan) -> list[Act]:
    """Return the starts: what is new together and first, where all of it fits so; else one at a time as planned."""
    steps = [step for step in plan.steps if step.action in STARTS]
    new = tuple(step.service for step in steps if step.action is Action.START)
    alone = [Act(ActKind(str(step.action)), (step.service,)) for step in steps]
    if not new:
        return alone
    if len(new) == len(steps):
        return [Act(ActKind.START, new)]
    first = make_plan([one for one in wanted if one.name in new], running, pool, replace=True)
    if not first.fits:
        return alone
    rest = [one for one in wanted if one.name not in new]
    then = make_plan(rest, running, _with(pool, [one for one in wanted if one.name in new]), replace=True)
    if not then.fits:
        return alone
    replaced = (step.service for step in then.steps if step.action in STARTS)
    return [Act(ActKind.START, first.order), *(Act(ActKind.REPLACE, (name,)) for name in replaced)]


def _with(pool: Pool, started: Sequence[Wanted]) -> Pool:
    """Return a pool of which services hold what they keep."""
    for one in started:
        for memory, part in one.need.parts(pool).items():
            pool = pool.with_more(-part.steady_bytes, memory)
    return pool
