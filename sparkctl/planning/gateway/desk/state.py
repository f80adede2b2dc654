"""The desk at one moment, and its working copy within a step. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sparkctl.planning.gateway.desk.effects import ForwardRequest, RefuseRequest, StartService
from sparkctl.planning.gateway.desk.request import RequestPlace
from sparkctl.planning.gateway.desk.service import HOLDING, DeskState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.planning.gateway.desk.effects import DeskEffect, RefusedFor
    from sparkctl.planning.gateway.desk.request import DeskRequest
    from sparkctl.planning.gateway.desk.room import MakingRoom
    from sparkctl.planning.gateway.desk.service import DeskService

MOST_RETRY_S: Final = 120
"""The longest wait that the official clients accept by `Retry-After` (openai 3.57, anthropic 2.14), in seconds."""
APART_S: Final = 1.0
"""The least time between looks at the memory, a choice: each asks the engine and the driver."""


def starting(services: Mapping[str, DeskService], others: str) -> str:
    """Return what is starting on this host (``others`` if it is none of the services); "" for nothing."""
    mine = (one.name for one in services.values() if one.state is DeskState.STARTING and not one.far)
    return next(mine, others)


@dataclass(frozen=True, slots=True)
class Desk:
    """The desk at one moment. Times are in seconds on a clock that only runs forward.

    ``closed`` is why no start is admitted, "" while starts are, and ``closed_waits`` whether requests wait meanwhile.
    ``looking_at`` is since when a look at the memory is awaited, None for none, ``looked_at`` when the last one came,
    and ``look_again_at`` when the next one is worthwhile. ``making`` is the service for which room is made.
    ``others_start`` is what starts and is none of its services. ``ended_at`` is when a service last ended: its memory
    may come back later.
    """

    services: Mapping[str, DeskService] = field(default_factory=lambda: MappingProxyType({}))
    requests: Mapping[str, DeskRequest] = field(default_factory=lambda: MappingProxyType({}))
    closed: str = ""
    making: MakingRoom | None = None
    looking_at: float | None = None
    looked_at: float = -math.inf
    look_again_at: float = -math.inf
    look_why: str = ""
    others_start: str = ""
    ended_at: float = -math.inf
    closed_waits: bool = False

    @property
    def kept_off(self) -> frozenset[str]:
        """The services that nobody else may start now: those that go, and the one for which they go."""
        return frozenset() if self.making is None else self.making.victims | {self.making.coming}

    @property
    def starting(self) -> str:
        """What is starting, whoever started it; "" for nothing."""
        return starting(self.services, self.others_start)

    def waiting(self, service: str) -> int:
        """Return how many requests wait for a service."""
        return self._at(service, RequestPlace.WAITING)

    def serving(self, service: str) -> int:
        """Return how many requests a service answers."""
        return self._at(service, RequestPlace.SERVED)

    def _at(self, service: str, place: RequestPlace) -> int:
        return sum(one.service == service and one.place is place for one in self.requests.values())


class DeskWork:
    """A desk while a step works on it; ``frozen`` is the result."""

    def __init__(self, desk: Desk, now: float) -> None:
        self.now = now
        self.services = dict(desk.services)
        self.requests = dict(desk.requests)
        self.effects: list[DeskEffect] = []
        self.closed = desk.closed
        self.making = desk.making
        self.looking_at = desk.looking_at
        self.looked_at = desk.looked_at
        self.look_again_at = desk.look_again_at
        self.look_why = desk.look_why
        self.others_start = desk.others_start
        self.ended_at = desk.ended_at
        self.closed_waits = desk.closed_waits
        self._waiting: dict[str, dict[str, DeskRequest]] = {}
        self._serving: dict[str, int] = {}
        for one in self.requests.values():
            self._count(one, 1)

    def frozen(self) -> Desk:
        """Return what the desk has become."""
        return Desk(
            MappingProxyType(self.services),
            MappingProxyType(self.requests),
            self.closed,
            self.making,
            self.looking_at,
            self.looked_at,
            self.look_again_at,
            self.look_why,
            self.others_start,
            self.ended_at,
            self.closed_waits,
        )

    # --- services -----------------------------------------------------------------------------------------------------

    def put(self, service: DeskService) -> None:
        """Store the new state of a service."""
        before = self.services.get(service.name)
        if before is not None and before.state in HOLDING and service.state not in HOLDING and not service.far:
            self.ended_at = self.now
        self.services[service.name] = service

    @property
    def starting(self) -> str:
        """What is starting, whoever started it; "" for nothing."""
        return starting(self.services, self.others_start)

    def quiet(self, name: str) -> bool:
        """Return whether a service answers no request."""
        return not self.serving(name) and not self.services[name].busy

    def start(self, service: DeskService, why: str) -> None:
        """Start a service, for whoever waits for it."""
        load = service.declared.load_s
        eta = self.now + load if load else None
        self.put(replace(service, state=DeskState.STARTING, ours=True, phase="", eta_at=eta, why="", died=False))
        self.effects.append(StartService(service.name, why))

    def look_soon(self) -> None:
        """Look at the memory again: something has changed that may make room."""
        self.look_again_at = min(self.look_again_at, max(self.now, self.looked_at + APART_S))

    # --- requests -----------------------------------------------------------------------------------------------------

    def waiting(self, name: str) -> list[DeskRequest]:
        """Return the requests that wait for a service, whose turn it is first."""
        found = self._waiting.get(name)
        return sorted(found.values(), key=lambda one: one.turn) if found else []

    def asked_for(self) -> list[str]:
        """Return the names of the services that requests wait for."""
        return [name for name, found in self._waiting.items() if found]

    def asked_at(self, name: str) -> float | None:
        """Return since when a request that may start a service waits for it, None if there is none.

        A request also waits for this service if it asks for a missing one that comes after this one.
        """
        later = (
            one.name for one in self.services.values() if name in one.declared.after and one.state is DeskState.OFF
        )
        waits = (one for each in (name, *later) for one in self._waiting.get(each, {}).values())
        return min((one.at for one in waits if one.may_start), default=None)

    def waiters(self) -> list[DeskRequest]:
        """Return the requests that wait, whatever for."""
        return [one for each in self._waiting.values() for one in each.values()]

    def serving(self, name: str) -> int:
        """Return how many requests a service answers."""
        return self._serving.get(name, 0)

    def change(self, request: DeskRequest) -> None:
        """Store the new state of a request."""
        before = self.requests.get(request.id)
        if before is not None:
            self._count(before, -1)
        self.requests[request.id] = request
        self._count(request, 1)

    def remove(self, request: DeskRequest) -> None:
        """Forget a request."""
        self._count(self.requests.pop(request.id), -1)

    def forward(self, request: DeskRequest) -> None:
        """Hand a request to its service."""
        place = RequestPlace.SERVED if request.keeps else RequestPlace.RESTING
        self.change(replace(request, place=place, served_at=self.now))
        self.effects.append(ForwardRequest(request.id, request.service))

    def refuse(
        self, request: DeskRequest, kind: RefusedFor, words: str, *, retry_s: float | None = None, final: bool = False
    ) -> None:
        """Refuse a request, and forget it. ``final``: asking again is of no use."""
        self.remove(request)
        after = None if retry_s is None else max(1, min(MOST_RETRY_S, math.ceil(retry_s)))
        self.effects.append(RefuseRequest(request.id, request.service, kind, words, after, False if final else None))

    def _count(self, request: DeskRequest, by: int) -> None:
        name = request.service
        if request.place is RequestPlace.SERVED:
            self._serving[name] = self._serving.get(name, 0) + by
        elif request.place is RequestPlace.WAITING and by > 0:
            self._waiting.setdefault(name, {})[request.id] = request
        elif request.place is RequestPlace.WAITING:
            self._waiting[name].pop(request.id, None)
