"""What must hold of the desk whatever comes, held against the box: asserted at each effect and between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.gateway.desk.effects import (
    ForwardRequest,
    RefuseRequest,
    StartService,
    StopFor,
    StopService,
    TellWaiter,
)
from sparkctl.planning.gateway.desk.events import DeskTick
from sparkctl.planning.gateway.desk.service import DeskState
from sparkctl.planning.gateway.desk.step import step
from tests.support.desk_box import RESERVE

if TYPE_CHECKING:
    from sparkctl.planning.gateway.desk.effects import DeskEffect
    from sparkctl.planning.gateway.desk.request import DeskRequest
    from sparkctl.planning.gateway.desk.room import MakingRoom
    from sparkctl.planning.gateway.desk.service import DeskDeclared
    from sparkctl.planning.gateway.desk.state import Desk
    from tests.support.desk_box import DeskBox

PATIENCE_S: Final = 60.0
STARVES_S: Final = 30.0
"""After so long somebody goes for who has waited: the desk looks every ten seconds, and a look may fail."""
SLACK_S: Final = 1e-6


class DeskTruth:
    """Remembers who asked and what became of them."""

    def __init__(self, box: DeskBox) -> None:
        self.box = box
        self.waits: dict[str, DeskRequest] = {}
        self.served: set[str] = set()
        self.told: dict[str, float] = {}
        self.starting = ""
        self.longest = 0.0
        self.starved = ("", 0.0)
        self.making: MakingRoom | None = None

    def asked(self, request: DeskRequest) -> None:
        self.waits[request.id] = request

    def left(self, request_id: str) -> None:
        self.waits.pop(request_id, None)
        self.served.discard(request_id)

    def check(self, before: Desk, after: Desk, effect: DeskEffect) -> None:
        """Hold an effect against what is so."""
        if isinstance(effect, ForwardRequest):
            self._forwarded(before, after, effect)
        elif isinstance(effect, RefuseRequest):
            request = self.waits.pop(effect.id)
            assert effect.words, effect
            assert effect.retry_after_s is None or 1 <= effect.retry_after_s <= 120
            self.box.counts[f"refused: {effect.kind}"] += 1
            self.longest = max(self.longest, self.box.at - request.at)
        elif isinstance(effect, TellWaiter):
            assert self.waits[effect.id].stream
            assert self.box.at - self.told.get(effect.id, self.waits[effect.id].at) >= 5.0 - SLACK_S
            self.told[effect.id] = self.box.at
        elif isinstance(effect, StartService):
            self._started(before, effect)
        elif isinstance(effect, StopService):
            self._stopped(before, after, effect)

    def _forwarded(self, before: Desk, after: Desk, effect: ForwardRequest) -> None:
        request = self.waits.pop(effect.id)
        assert request.service == effect.service
        service = after.services[effect.service]
        assert service.state is DeskState.READY, f"{effect} to one that is {service.state}"
        assert after.serving(effect.service) <= service.declared.limit or before.serving(effect.service) > 0
        self.served.add(effect.id)
        self.box.counts["forwarded"] += 1
        self.longest = max(self.longest, self.box.at - request.at)

    def _started(self, before: Desk, effect: StartService) -> None:
        name = effect.service
        assert not self.starting, f"{name} while {self.starting} is started"
        assert before.services[name].state is DeskState.OFF, f"{name} is started, and is {before.services[name].state}"
        assert not before.closed
        for_it = [one for one in before.requests.values() if one.may_start and self._starts(before, one, name)]
        assert for_it
        first = [before.services[one] for one in before.services[name].declared.after if one in before.services]
        assert all(one.up for one in first), f"{name} is started before what it comes after"
        self.starting = name
        self.box.counts["starts"] += 1

    def _starts(self, desk: Desk, request: DeskRequest, name: str) -> bool:
        service = desk.services.get(request.service)
        return service is not None and name in {service.name, *service.declared.after}

    def _stopped(self, before: Desk, after: Desk, effect: StopService) -> None:
        name, at = effect.service, self.box.at
        one, declared = self.box.models[name], self.box.declared[name]
        self.box.counts[f"stops: {effect.kind}"] += 1
        assert not one.answers, f"{name} is stopped, and answers {one.answers}"
        assert name not in self.box.pinned
        if effect.kind is StopFor.IDLE:
            assert declared.start is StartMode.ON_DEMAND
            assert declared.idle_s is not None
            assert one.state is not DeskState.READY or at - one.used_at >= declared.idle_s - SLACK_S
            return
        making = after.making
        assert making is not None, effect
        assert name in making.victims
        coming = self.box.declared[making.coming]
        asked = [each for each in before.requests.values() if self._starts(before, each, coming.name)]
        rank = max([coming.priority, *(self.box.declared[each.service].priority for each in asked)])
        assert not declared.keep
        assert declared.start is not StartMode.MANUAL
        assert declared.priority <= rank
        if one.state is not DeskState.READY:
            return
        stayed = at - one.ready_at
        assert stayed >= declared.least_stay_s - SLACK_S, f"{name} is stopped after {stayed} s"
        if declared.priority < rank:
            return
        assert declared.start is StartMode.ON_DEMAND
        bound = declared.least_stay_s if declared.idle_s is None else declared.idle_s
        since = [each.at for each in asked]
        wanted = before.services[coming.name].wanted_at
        since += [] if wanted is None else [wanted]
        assert at - one.used_at >= bound - SLACK_S or at - min(since) >= PATIENCE_S - SLACK_S

    def at_rest(self, desk: Desk, *, again: bool) -> None:
        """Hold what must be so between two steps."""
        at = self.box.at
        assert set(desk.requests) == set(self.waits) | self.served
        for request in self.waits.values():
            service = desk.services[request.service]
            since = max(request.at, service.ready_at) if request.stream and service.up else request.at
            if not (request.stream and service.state is DeskState.STARTING):
                assert at < since + request.wait_s, f"{request} waits for one that is {service.state}"
        assert sum(one.state is DeskState.STARTING and one.ours for one in desk.services.values()) <= 1
        if desk.making is not None and not desk.making.stopping and desk.making != self.making:
            self.box.counts["victims drain"] += 1
        self.making = desk.making
        if desk.making is None:
            assert all(one.state is not DeskState.DRAINING for one in desk.services.values())
        if again:
            assert not step(desk, DeskTick(), at).effects

        self._nobody_starves(desk)

    def _nobody_starves(self, desk: Desk) -> None:
        """Hold that somebody goes for who has waited for more than a minute, where that makes room."""
        at, name = self.box.at, self._first(desk)
        if name and desk.making is None and not desk.starting and not desk.closed:
            coming = desk.services[name].declared
            going = frozenset(one for one in self.box.declared if self._could_go(desk, one, coming))
            if self.box.fits()(going, (name,)).fits:
                since = self.starved[1] if self.starved[0] == name else at
                self.starved = name, since
                assert at - since < STARVES_S, f"{name} waits since {since}, and {going} could go"
                return
        self.starved = "", at

    def _first(self, desk: Desk) -> str:
        """Return the service whose turn it is to be started, where somebody has asked for it long ago.

        What has to run though nobody asks is started by the agent.
        """
        asked: dict[str, float] = {}
        for one in self.waits.values():
            if one.may_start and desk.services[one.service].state is DeskState.OFF:
                asked[one.service] = min(one.at, asked.get(one.service, one.at))
        for service in desk.services.values():
            if service.wanted_at is not None:
                asked[service.name] = min(service.wanted_at, asked.get(service.name, service.wanted_at))
        if any(desk.services[name].declared.after for name in asked):
            return ""  # others come first, by the priority of what comes after them
        ranked = sorted((-desk.services[name].declared.priority, since, name) for name, since in asked.items())
        overdue = bool(ranked) and self.box.at - ranked[0][1] > PATIENCE_S
        return ranked[0][2] if overdue and desk.services[ranked[0][2]].wanted_at is None else ""

    def _could_go(self, desk: Desk, name: str, coming: DeskDeclared) -> bool:
        one, declared = self.box.models[name], self.box.declared[name]
        if one.state is not DeskState.READY or not desk.services[name].up or name in self.box.pinned:
            return False
        if declared.keep or declared.start is StartMode.MANUAL or self.box.at < desk.services[name].stays_until:
            return False
        demand = declared.start is StartMode.ON_DEMAND
        return declared.priority < coming.priority or (declared.priority == coming.priority and demand)

    def at_the_end(self, desk: Desk) -> None:
        """Nobody was left without an answer, and never was more taken than there is."""
        assert not self.waits
        assert not desk.requests
        assert self.box.least_free >= RESERVE, f"{self.box.least_free} B were free"
