"""What befalls a box while requests come: each does nothing where there is nothing to befall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.units import GIB
from sparkctl.planning.gateway.desk.events import GuardClosed, ServicePinned
from sparkctl.planning.gateway.desk.service import DeskState

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.desk_day import DeskDay


def _one(day: DeskDay, *states: DeskState) -> str | None:
    found = sorted(name for name, one in day.box.models.items() if one.state in states and name in day.box.declared)
    return day.dice.choice(found) if found else None


def a_server_dies(day: DeskDay) -> None:
    name = _one(day, DeskState.READY, DeskState.STARTING)
    if name is not None:
        day.box.counts["fault: a server dies"] += 1
        day.dies(name)


def a_server_is_stuck(day: DeskDay) -> None:
    """Let a server make no steps, until it goes on or the agent stops it."""
    name = _one(day, DeskState.READY)
    if name is None:
        return
    day.box.counts["fault: a server is stuck"] += 1
    day.box.models[name].stuck = True
    day.see_soon()

    def over() -> None:
        one = day.box.models[name]
        if not one.stuck:
            return
        one.stuck = False
        if day.dice.random() < 0.5 and one.state is DeskState.READY:
            day.dies(name, DeskState.OFF, "it was stuck for 1m 00s")
        day.see_soon()

    day.box.later(day.dice.uniform(5, 90), over)


def the_guard_closes(day: DeskDay) -> None:
    day.box.counts["fault: the guard closes"] += 1
    day.tell(GuardClosed("the guard admits no start: 8.0 GiB are available, below the reserve of 10.0 GiB"))
    day.box.later(day.dice.uniform(30, 200), lambda: day.tell(GuardClosed("")))


def the_stack_changes(day: DeskDay) -> None:
    dice = day.dice
    name = dice.choice(sorted(day.box.declared))
    day.box.counts["fault: the stack changes"] += 1
    changes: list[dict[str, object]] = [
        {"priority": dice.choice((1, 5, 10))},
        {"keep": not day.box.declared[name].keep},
        {"limit": dice.choice((1, 2, 8))},
        {"stays_s": 30.0},
    ]
    day.redeclare(name, **dice.choice(changes))


def a_service_goes_from_the_stack(day: DeskDay) -> None:
    if len(day.box.declared) == 1:
        return
    day.box.counts["fault: a service goes from the stack"] += 1
    name = day.dice.choice(sorted(day.box.declared))
    kept = day.box.declared.pop(name)
    day.declare()
    day.dies(name, DeskState.OFF, "apply --prune")

    def back() -> None:
        day.box.declared[name] = kept
        day.declare()
        day.see_soon()

    day.box.later(day.dice.uniform(10, 400), back)


def an_operator_stops_it(day: DeskDay) -> None:
    name = _one(day, DeskState.READY, DeskState.STARTING, DeskState.OFF)
    if name is None:
        return
    day.box.counts["fault: an operator stops a service"] += 1
    day.dies(name, DeskState.PAUSED, "paused by ada")

    def resumed() -> None:
        if day.box.models[name].state is DeskState.PAUSED:
            day.box.models[name].state = DeskState.OFF
            day.see_soon()

    day.box.later(day.dice.uniform(60, 600), resumed)


def an_operator_starts_it(day: DeskDay) -> None:
    name = _one(day, DeskState.OFF, DeskState.PAUSED, DeskState.HELD)
    if name is None or day.works:
        return
    day.box.counts["fault: an operator starts a service"] += 1
    day.box.models[name].state = DeskState.OFF
    day.work(lambda: day.start_always(name))


def somebody_pins_it(day: DeskDay) -> None:
    name = _one(day, DeskState.READY)
    if name is None:
        return
    day.box.counts["fault: a service is pinned"] += 1
    day.box.pinned.add(name)
    day.tell(ServicePinned(name, True))

    def let_go() -> None:
        day.box.pinned.discard(name)
        day.tell(ServicePinned(name, False))

    day.box.later(day.dice.uniform(30, 900), let_go)


def somebody_else_takes_memory(day: DeskDay) -> None:
    day.box.counts["fault: another process takes memory"] += 1
    taken = day.dice.choice((5, 20, 40)) * GIB
    day.box.foreign += taken

    def gone() -> None:
        day.box.foreign -= taken

    day.box.later(day.dice.uniform(30, 900), gone)


def somebody_asks_it_directly(day: DeskDay) -> None:
    name = _one(day, DeskState.READY)
    if name is None:
        return
    day.box.counts["fault: a service is asked directly"] += 1
    day.box.models[name].busy = True
    day.see_soon()

    def done() -> None:
        day.box.models[name].busy = False
        day.see_soon()

    day.box.later(day.dice.uniform(10, 200), done)


def a_stop_fails(day: DeskDay) -> None:
    name = _one(day, DeskState.READY)
    if name is not None:
        day.box.counts["fault: a stop fails"] += 1
        day.box.models[name].stop_fails = True


FAULTS: Final[tuple[Callable[[DeskDay], None], ...]] = (
    a_server_dies,
    a_server_is_stuck,
    the_guard_closes,
    the_stack_changes,
    a_service_goes_from_the_stack,
    an_operator_stops_it,
    an_operator_starts_it,
    somebody_pins_it,
    somebody_else_takes_memory,
    somebody_asks_it_directly,
    a_stop_fails,
)
