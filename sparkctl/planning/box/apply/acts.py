"""In which order a stack is put into effect: nothing that works is stopped sooner than it has to be. Pure.

Services that are new come first, as far as memory allows; then what changed, one at a time, since each gives back what
it held before its successor takes more; what goes comes last. What goes is stopped first only where its memory is
needed, and then as few of it as are enough; or where a successor wants its port.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import combinations
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.planning.admission import STARTS, Action
from sparkctl.planning.plan import make_plan

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

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
    """What is done, in its order, and the plan of the whole set.

    There are no acts where the plan does not fit, and where it does but no order is possible: ``stuck`` says why.
    """

    acts: tuple[Act, ...]
    plan: Plan
    stuck: str = ""

    @property
    def fits(self) -> bool:
        """Whether the set fits."""
        return self.plan.fits


class _Box(NamedTuple):
    """What is wanted beside what runs, of which what goes first has gone; ``blocked`` is as for ``arranged``."""

    wanted: Sequence[Wanted]
    running: Sequence[Running]
    pool: Pool
    blocked: Mapping[str, Collection[str]]

    def plan(self, names: Collection[str]) -> Plan:
        """Return the plan of some of the services."""
        asked = [one for one in self.wanted if one.name in names]
        return make_plan(asked, self.running, self.pool, replace=True)

    def own(self, name: str) -> Wanted:
        """Return what is wanted of a service."""
        return next(one for one in self.wanted if one.name == name)

    def waits(self, name: str) -> set[str]:
        """Return which services have to be started before this one: it comes after them, or takes their port.

        One that runs is ready for what comes after it, also while it is still to be replaced.
        """
        runs = {one.name for one in self.running}
        return {*self.blocked.get(name, ()), *(other for other in self.own(name).after if other not in runs)}

    def allows(self, order: Sequence[str]) -> bool:
        """Return whether services can be started in this order, each beside all that is there by then."""
        pool, running = self.pool, {one.name: one for one in self.running}
        for place, name in enumerate(order):
            if not self.waits(name).isdisjoint(order[place + 1 :]):
                return False
            own = self.own(name)
            if not make_plan([own], list(running.values()), pool, replace=True).fits:
                return False
            gone = running.pop(name, None)
            for memory in gone.memories if gone is not None else ():
                pool = pool.with_more(gone.held(memory) if gone is not None else 0, memory)
            for memory, part in own.need.parts(pool).items():
                pool = pool.with_more(-part.steady_bytes, memory)
        return True


def arranged(
    wanted: Sequence[Wanted],
    running: Sequence[Running],
    pool: Pool,
    goes: Collection[str],
    blocked: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> Arranged:
    """Return how ``wanted`` comes to run beside ``running``, of which the services in ``goes`` end.

    What runs otherwise than it is wanted is replaced. ``blocked`` are by a service's name the others that have to give
    it their port before: by going, or by being replaced.

    Raises:
        InputError: a service wants a GPU that the host has not.
    """
    going = [one for one in running if one.name in goes]
    in_the_way = {name for names in blocked.values() for name in names}
    must = tuple(one for one in going if one.name in in_the_way)
    plan = make_plan(wanted, running, pool, replace=True)
    for more in _choices([one for one in going if one not in must]):
        first = (*must, *more)
        box = _Box(wanted, [one for one in running if one not in first], _without(pool, first), blocked)
        plan = make_plan(wanted, box.running, box.pool, replace=True) if first else plan
        if not plan.fits:
            continue
        starts = _starts(box, plan)
        if starts is None:
            swaps = ", ".join(sorted(in_the_way))
            return Arranged((), plan, f"in no order can each start have its room and its port, which {swaps} has")
        names = {one.name for one in first}
        acts = [
            *_waits(plan),
            *(Act(ActKind.REMOVE, (one.name,)) for one in first),
            *starts,
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


def _starts(box: _Box, plan: Plan) -> list[Act] | None:
    """Return the starts: what is new first, as far as that is possible, else as it is planned.

    None where no order is possible.
    """
    steps = [step for step in plan.steps if step.action in STARTS]
    kinds = {step.service: ActKind(str(step.action)) for step in steps}
    new = [name for name, kind in kinds.items() if kind is ActKind.START]
    first = [*(box.plan(new).order if new else ()), *(name for name in kinds if name not in new)]
    for order in (first, _freed(first, box), list(kinds), _freed(list(kinds), box)):
        if box.allows(order):
            return _grouped(order, kinds)
    # What is planned leaves more room than one start after another: not all are at their most at once.
    return None if any(box.blocked.values()) else _grouped(list(kinds), kinds)


def _grouped(order: Sequence[str], kinds: Mapping[str, ActKind]) -> list[Act]:
    """Return the acts of an order: neighbours that are new are one, and the controller may start them together."""
    acts: list[Act] = []
    for name in order:
        if acts and kinds[name] is ActKind.START and acts[-1].kind is ActKind.START:
            acts[-1] = Act(ActKind.START, (*acts[-1].services, name))
        else:
            acts.append(Act(kinds[name], (name,)))
    return acts


def _freed(order: Sequence[str], box: _Box) -> list[str]:
    """Return an order in which a service comes after those that it waits for, where no circle forbids that."""
    found: list[str] = []
    waiting = list(order)
    while waiting:
        name = next((name for name in waiting if box.waits(name).isdisjoint(waiting)), waiting[0])
        waiting.remove(name)
        found.append(name)
    return found
