"""The order in which a stack is put into effect: nothing that works is stopped sooner than necessary. Pure.

New services come first, as far as memory allows; then changed services, one at a time, since each gives back its old
memory before its successor takes more; services that go come last. A service that goes is stopped earlier only if its
memory is needed, and then only as few as necessary; or if a successor wants its port.
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
"""Up to this many services that go, every choice is tried: 256 plans. With more, the largest go first."""


class ActKind(StrEnum):
    """The kind of an act: services are awaited, started or replaced (each proved ready), or removed."""

    WAIT = "wait"
    START = "start"
    REPLACE = "replace"
    REMOVE = "remove"


class Act(NamedTuple):
    """One act on one or several services; the next act begins when it has ended."""

    kind: ActKind
    services: tuple[str, ...]


class Arranged(NamedTuple):
    """The acts in their order, and the plan of the whole set.

    There are no acts if the plan does not fit, or if it fits but no order is possible: then ``stuck`` says why.
    """

    acts: tuple[Act, ...]
    plan: Plan
    stuck: str = ""

    @property
    def fits(self) -> bool:
        """Whether the set fits."""
        return self.plan.fits


class _Box(NamedTuple):
    """What is wanted beside what still runs after the first removals; ``blocked`` is as for ``arranged``."""

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
        """Return the services that have to be started before this one: it comes after them, or takes their port.

        A running service is ready for those that come after it, even while it is still to be replaced.
        """
        runs = {one.name for one in self.running}
        return {*self.blocked.get(name, ()), *(other for other in self.own(name).after if other not in runs)}

    def allows(self, order: Sequence[str]) -> bool:
        """Return whether services can be started in this order, each beside everything that is there by then."""
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
    """Return the acts that bring ``wanted`` up beside ``running``; the services in ``goes`` end.

    A service that runs differently from what is wanted is replaced. ``blocked`` gives, by a service's name, the others
    that have to free its port first: by going, or by being replaced.

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
    """Yield the sets that could go before anything starts: none first, then larger ones, low priority before high."""
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
    """Return the acts that wait for services which are already starting as wanted."""
    waited = tuple(step.service for step in plan.steps if step.action is Action.WAIT)
    return [Act(ActKind.WAIT, waited)] if waited else []


def _starts(box: _Box, plan: Plan) -> list[Act] | None:
    """Return the starts: new services first as far as possible, else in the planned order.

    None if no order is possible.
    """
    steps = [step for step in plan.steps if step.action in STARTS]
    kinds = {step.service: ActKind(str(step.action)) for step in steps}
    new = [name for name, kind in kinds.items() if kind is ActKind.START]
    first = [*(box.plan(new).order if new else ()), *(name for name in kinds if name not in new)]
    for order in (first, _freed(first, box), list(kinds), _freed(list(kinds), box)):
        if box.allows(order):
            return _grouped(order, kinds)
    # The plan of the whole set leaves more room than one start after another: not all are at their most at once.
    return None if any(box.blocked.values()) else _grouped(list(kinds), kinds)


def _grouped(order: Sequence[str], kinds: Mapping[str, ActKind]) -> list[Act]:
    """Return the acts of an order: neighbouring new services form one act, which the controller may start together."""
    acts: list[Act] = []
    for name in order:
        if acts and kinds[name] is ActKind.START and acts[-1].kind is ActKind.START:
            acts[-1] = Act(ActKind.START, (*acts[-1].services, name))
        else:
            acts.append(Act(kinds[name], (name,)))
    return acts


def _freed(order: Sequence[str], box: _Box) -> list[str]:
    """Return an order in which a service comes after those that it waits for, unless a circle makes that impossible."""
    found: list[str] = []
    waiting = list(order)
    while waiting:
        name = next((name for name in waiting if box.waits(name).isdisjoint(waiting)), waiting[0])
        waiting.remove(name)
        found.append(name)
    return found
