"""A stretch of a day at the desk: clients ask, answers end, faults come; each effect is held against the box.

The gateway is as the real one is: one worker does what the desk and the agent want started and stopped, one after the
other; a look at the memory takes a moment; what befalls a service is seen seconds after it happened.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.gateway.desk.due import due_s
from sparkctl.planning.gateway.desk.effects import (
    ForwardRequest,
    HoldService,
    LookAtMemory,
    StartService,
    StopService,
)
from sparkctl.planning.gateway.desk.events import (
    DeskTick,
    FirstByte,
    MemoryLooked,
    RequestAsked,
    RequestEnded,
    RequestLeft,
    RequestRests,
    ServerLost,
    ServiceStarted,
    ServiceStopped,
    StackDeclared,
    StartFailed,
    StartGoesOn,
    StopFailed,
)
from sparkctl.planning.gateway.desk.request import DeskRequest
from sparkctl.planning.gateway.desk.service import DeskState
from sparkctl.planning.gateway.desk.step import EMPTY, step
from tests.support.desk_box import NAMES, DeskBox
from tests.support.desk_truth import DeskTruth

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparkctl.planning.gateway.desk.effects import DeskEffect
    from sparkctl.planning.gateway.desk.events import DeskEvent

WAIT_S: Final = 540.0
LOOKS_S: Final = 120.0
"""The agent looks so often, and soon after each change."""
MOST_S: Final = 100_000.0
"""So long no sequence takes: who waits still by then is lost."""


class DeskDay:
    """A sequence of requests, by a seed; ``faults`` are what may befall it (``desk_faults.FAULTS``)."""

    def __init__(self, seed: int, faults: Sequence[Callable[[DeskDay], None]] = (), requests: int = 0) -> None:
        self.box = DeskBox(seed)
        self.dice = self.box.dice
        self.desk = EMPTY
        self.truth = DeskTruth(self.box)
        self.jobs: deque[Callable[[], tuple[float, Callable[[], None]]]] = deque()
        self.works = False
        self.to_come = requests = requests or self.dice.choice((2, 4, 6, 12))
        self.streams = self.dice.choice((0.0, 0.1, 0.5))
        self.number = 0
        self.steps = 0
        self.see_at = math.inf
        self.declare()
        self.see_soon()
        span = requests * self.dice.choice((2.0, 20.0, 120.0))
        favourites = self.dice.sample(NAMES, self.dice.choice((2, 3, 6)))
        for _ in range(requests):
            name = self.dice.choice(favourites)
            self.box.later(self.dice.uniform(0, span), lambda name=name: self.ask(name))
        for _ in range(self.dice.randint(0, 4) if faults else 0):
            fault = self.dice.choice(faults)
            self.box.later(self.dice.uniform(0, span + 600), lambda fault=fault: fault(self))

    def run(self) -> None:
        """Let time pass until everybody has an answer."""
        box, looked, due_at = self.box, -1, math.inf
        while self.to_come or self.desk.requests or self.works:
            if self.steps != looked:
                looked, due = self.steps, due_s(self.desk, box.at)
                due_at = math.inf if due is None else box.at + due
            assert min(due_at, box.next_at) < MOST_S, self.truth.waits
            if due_at < box.next_at:
                box.advance(due_at + 1e-9)
                self.tell(DeskTick())
            else:
                box.advance(box.next_at)
                box.next_event()
            if self.steps != looked:
                self.truth.at_rest(self.desk, again=self.steps % 8 == 0)
        self.truth.at_the_end(self.desk)

    def tell(self, event: DeskEvent) -> None:
        """Give the desk an event and do what it wants done."""
        self.steps += 1
        before = self.desk
        self.desk, effects = step(before, event, self.box.at)
        for effect in effects:
            self.truth.check(before, self.desk, effect)
        for effect in effects:
            self.do(effect)

    def do(self, effect: DeskEffect) -> None:
        if isinstance(effect, ForwardRequest):
            self.answer(effect)
        elif isinstance(effect, StartService):
            self.work(lambda: self.start(effect.service))
        elif isinstance(effect, StopService):
            self.work(lambda: self.stop(effect.service))
        elif isinstance(effect, HoldService):
            one = self.box.models[effect.service]
            one.state, one.why = DeskState.HELD, effect.why
            self.box.counts["held"] += 1
        elif isinstance(effect, LookAtMemory):
            self.look()

    def declare(self) -> None:
        self.tell(StackDeclared(tuple(self.box.declared.values())))

    # --- clients ------------------------------------------------------------------------------------------------------

    def ask(self, name: str) -> None:
        dice = self.dice
        self.to_come -= 1
        self.number += 1
        known = name in self.box.declared
        request = DeskRequest(
            f"r{self.number}",
            name,
            stream=dice.random() < self.streams,
            may_start=dice.random() < 0.95,
            keeps=dice.random() < 0.97,
            priority=dice.choice((0, 0, 0, 1)),
            wait_s=dice.choice((30.0, WAIT_S, WAIT_S, WAIT_S)),
            at=self.box.at,
        )
        self.truth.asked(request)
        self.tell(RequestAsked(request))
        self.box.counts["asked"] += 1
        assert known or request.id not in self.truth.waits
        if dice.random() < 0.12:
            self.box.later(dice.choice((0.5, 20.0, 200.0)), lambda: self.leave(request))

    def leave(self, request: DeskRequest) -> None:
        if request.id in self.desk.requests:
            self.box.counts["left"] += 1
            self.over(request.id, request.service)
            self.tell(RequestLeft(request.id))

    def over(self, request_id: str, name: str) -> None:
        """Note that nothing is under way for a request any more."""
        self.truth.left(request_id)
        one = self.box.models[name]
        if request_id in one.answers:
            one.answers.discard(request_id)
            one.used_at = self.box.at

    def answer(self, effect: ForwardRequest) -> None:
        one, dice, later = self.box.models[effect.service], self.dice, self.box.later
        if one.state not in {DeskState.READY, DeskState.STOPPING}:
            later(0.01, lambda: self.lost(effect))
            return
        keeps = self.desk.requests[effect.id].keeps
        if keeps:
            one.answers.add(effect.id)
        lasts = dice.choice((0.5, 4.0, 4.0, 40.0, 40.0, 300.0, 1500.0)) if keeps else 0.1
        later(lasts / 4, lambda: self.tell(FirstByte(effect.id)))
        if keeps and dice.random() < 0.05:
            later(lasts / 3, lambda: self.rest(effect, rests=True))
            later(lasts / 2, lambda: self.rest(effect, rests=False))
        later(lasts, lambda: self.ended(effect))

    def lost(self, effect: ForwardRequest) -> None:
        """Let its server take no connection: it comes back to the desk, and waits no longer than it may."""
        request = self.desk.requests.get(effect.id)
        if request is None:
            return
        self.box.counts["lost"] += 1
        self.tell(ServerLost(effect.service))
        self.see_soon()
        self.ended(effect)
        again = replace(request, wait_s=max(0.0, request.until - self.box.at), at=self.box.at)
        self.truth.asked(again)
        self.tell(RequestAsked(again))

    def rest(self, effect: ForwardRequest, *, rests: bool) -> None:
        """Let an open websocket fall silent, or be used again."""
        one = self.box.models[effect.service]
        if effect.id not in self.desk.requests or (not rests and one.state is not DeskState.READY):
            return
        (one.answers.discard if rests else one.answers.add)(effect.id)
        one.used_at = self.box.at
        self.tell(RequestRests(effect.id, rests))

    def ended(self, effect: ForwardRequest) -> None:
        if effect.id in self.desk.requests:
            self.over(effect.id, effect.service)
            self.tell(RequestEnded(effect.id))

    # --- the worker ---------------------------------------------------------------------------------------------------

    def work(self, job: Callable[[], tuple[float, Callable[[], None]]]) -> None:
        """Do a piece of work after those that were asked for before."""
        self.jobs.append(job)
        self._next()

    def _next(self) -> None:
        if self.works or not self.jobs:
            return
        self.works = True
        lasts, end = self.jobs.popleft()()

        def done() -> None:
            self.works = False
            end()
            self._next()

        self.box.later(lasts, done)

    def start(self, name: str) -> tuple[float, Callable[[], None]]:
        """Start a service for the desk, as the controller does."""
        one, dice, box = self.box.models[name], self.dice, self.box

        def tell(event: DeskEvent) -> None:
            self.truth.starting = ""
            self.tell(event)

        if one.state is DeskState.READY:
            return 0.5, lambda: tell(ServiceStarted(name))
        if one.state is not DeskState.OFF:
            return 0.5, lambda: tell(StartFailed(name, "an operator stopped it"))
        if not box.has_room(name):
            box.counts["no room at the start"] += 1
            return 0.5, lambda: tell(StartFailed(name, "no room", no_room=True))
        box.loads(name)
        lasts = one.load_s * dice.uniform(0.7, 1.4)
        box.later(lasts / 2, lambda: self.tell(StartGoesOn(name, "loading weights 3/7", lasts / 2)))
        fate = dice.choices(("ready", "fails", "fails for good"), (0.85, 0.1, 0.05))[0]

        def end() -> None:
            if one.state is not DeskState.STARTING:
                tell(StartFailed(name, "it was stopped while it started"))
            elif fate == "ready":
                box.becomes_ready(name)
                tell(ServiceStarted(name))
            else:
                box.ends(name)
                box.counts[fate] += 1
                tell(StartFailed(name, "the engine ended", passes=fate == "fails", fix="look at its log"))

        return (lasts if fate == "ready" else lasts * dice.random()), end

    def stop(self, name: str) -> tuple[float, Callable[[], None]]:
        one, box = self.box.models[name], self.box
        if one.state is not DeskState.READY:
            return 0.1, lambda: self.tell(ServiceStopped(name))
        if one.stop_fails:
            one.stop_fails = False
            return 5.0, lambda: self.tell(StopFailed(name, "the engine does not answer"))
        assert not one.answers, f"{name} is stopped, and answers"
        one.state = DeskState.STOPPING

        def end() -> None:
            if one.state is DeskState.STOPPING:
                box.ends(name)
            self.tell(ServiceStopped(name))

        return self.dice.uniform(0.5, 8), end

    def look(self) -> None:
        fits, failed = self.box.fits(), self.dice.random() < 0.03
        event = MemoryLooked(None, "the engine does not answer") if failed else MemoryLooked(fits)
        self.box.later(self.dice.uniform(0.05, 0.5), lambda: self.tell(event))

    # --- the agent ----------------------------------------------------------------------------------------------------

    def see_soon(self) -> None:
        """Something has changed that the agent sees within five seconds."""
        self._see_in(self.dice.uniform(0.1, 5))

    def _see_in(self, delay_s: float) -> None:
        at = self.box.at + delay_s
        if at < self.see_at:
            self.see_at = at
            self.box.later(delay_s, lambda: self.see(at))

    def see(self, at: float) -> None:
        if at != self.see_at:
            return
        self.see_at = math.inf
        self._see_in(LOOKS_S)
        lacking = self.lacking()
        self.tell(self.box.seen(frozenset(lacking)))
        for name in lacking:
            if not self.works and name not in self.desk.kept_off and self.box.has_room(name):
                self.work(lambda name=name: self.start_always(name))

    def lacking(self) -> list[str]:
        """Return the services that have to run always and do not."""
        return [
            name
            for name, one in self.box.declared.items()
            if one.start is StartMode.ALWAYS and self.box.models[name].state is DeskState.OFF
        ]

    def start_always(self, name: str) -> tuple[float, Callable[[], None]]:
        one, box = self.box.models[name], self.box
        if one.state is not DeskState.OFF or not box.has_room(name):
            return 0.5, self.see_soon
        box.loads(name)
        self.see_soon()

        def end() -> None:
            if one.state is DeskState.STARTING:
                box.becomes_ready(name)
            self.see_soon()

        return one.load_s, end

    # --- what befalls it ----------------------------------------------------------------------------------------------

    def dies(self, name: str, state: DeskState = DeskState.OFF, why: str = "its engine ended") -> None:
        """End a service that nobody of the desk stopped: its answers break off."""
        one = self.box.models[name]
        broken = sorted(one.answers)
        one.answers.clear()
        self.box.ends(name, state, why)
        for each in broken:
            self.ended(ForwardRequest(each, name))
        self.see_soon()

    def redeclare(self, name: str, **changes: object) -> None:
        self.box.declared[name] = replace(self.box.declared[name], **changes)  # type: ignore[arg-type]
        self.declare()
