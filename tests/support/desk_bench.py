"""A desk to try: services of so many GiB in a box of so many, where a look is answered at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from sparkctl.planning.gateway.desk.effects import LookAtMemory
from sparkctl.planning.gateway.desk.events import (
    DeskTick,
    MemoryLooked,
    RequestAsked,
    RequestEnded,
    SeenAtDesk,
    ServicesSeen,
    ServiceStarted,
    ServiceStopped,
    StackDeclared,
)
from sparkctl.planning.gateway.desk.request import DeskRequest
from sparkctl.planning.gateway.desk.room import DeskRoom
from sparkctl.planning.gateway.desk.service import HOLDING, DeskDeclared, DeskState
from sparkctl.planning.gateway.desk.step import EMPTY, step

if TYPE_CHECKING:
    from sparkctl.planning.gateway.desk.effects import DeskEffect
    from sparkctl.planning.gateway.desk.events import DeskEvent

Kind = TypeVar("Kind")


class DeskBench:
    """``sizes`` are in GiB by service, ``total`` is what there is; ``leak`` of it is taken by nobody that is known."""

    def __init__(self, *declared: DeskDeclared, sizes: dict[str, int] | None = None, total: int = 100) -> None:
        self.sizes = {one.name: (sizes or {}).get(one.name, 40) for one in declared}
        self.total, self.leak = total, 0
        self.at, self.looks = 1000.0, True
        self.desk = EMPTY
        self.effects: list[DeskEffect] = []
        self.tell(StackDeclared(declared))

    def tell(self, event: DeskEvent, after: float = 0.0) -> list[DeskEffect]:
        """Give the desk an event after so many seconds, and answer its looks."""
        self.at += after
        self.desk, effects = step(self.desk, event, self.at)
        found = list(effects)
        if LookAtMemory() in effects and self.looks:
            found.remove(LookAtMemory())
            found += self.tell(MemoryLooked(self.fits))
        self.effects += effects
        return found

    def fits(self, going: frozenset[str], coming: tuple[str, ...]) -> DeskRoom:
        there = [one.name for one in self.desk.services.values() if one.state in HOLDING and one.name not in going]
        taken = sum(self.sizes[name] for name in (*there, *coming)) + self.leak
        return DeskRoom(taken <= self.total, lambda: f"{taken} of {self.total} GiB")

    def ask(self, request_id: str, service: str, after: float = 0.0, **how: object) -> list[DeskEffect]:
        return self.tell(RequestAsked(DeskRequest(request_id, service, **how)), after)  # type: ignore[arg-type]

    def end(self, request_id: str, after: float = 0.0) -> list[DeskEffect]:
        return self.tell(RequestEnded(request_id), after)

    def tick(self, after: float = 0.0) -> list[DeskEffect]:
        return self.tell(DeskTick(), after)

    def see(self, service: str, state: DeskState, after: float = 0.0, **how: object) -> list[DeskEffect]:
        return self.tell(ServicesSeen((SeenAtDesk(service, state, **how),)), after)  # type: ignore[arg-type]

    def ready(self, *services: str) -> None:
        """Let services be there, long enough that their minimal stay is over."""
        for name in services:
            self.see(name, DeskState.READY)
        self.tick(max(self.desk.services[name].declared.least_stay_s for name in services))
        self.effects.clear()

    def started(self, service: str, after: float = 0.0) -> list[DeskEffect]:
        return self.tell(ServiceStarted(service), after)

    def stopped(self, service: str, after: float = 0.0) -> list[DeskEffect]:
        return self.tell(ServiceStopped(service), after)

    def state(self, service: str) -> DeskState:
        return self.desk.services[service].state

    def all(self, kind: type[Kind]) -> list[Kind]:
        """Return the effects of a kind since the last time that it was asked, and forget them all."""
        found = [one for one in self.effects if isinstance(one, kind)]
        self.effects.clear()
        return found


def of(effects: list[DeskEffect], kind: type[Kind]) -> list[Kind]:
    """Return those of a kind."""
    return [one for one in effects if isinstance(one, kind)]


def one_of(effects: list[DeskEffect], kind: type[Kind]) -> Kind:
    """Return the only one of a kind."""
    (found,) = of(effects, kind)
    return found
