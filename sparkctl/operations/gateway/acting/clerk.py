"""The clerk at the desk: tells it what happens, does what it wants done, and wakes it when time has passed.

Everything here runs in the gateway's loop and blocks nothing: what takes longer is begun by ``DeskHands``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from sparkctl.planning.gateway.desk.due import due_s
from sparkctl.planning.gateway.desk.effects import (
    ForwardRequest,
    HoldService,
    LookAtMemory,
    RefuseRequest,
    StartService,
    StopService,
    TellWaiter,
)
from sparkctl.planning.gateway.desk.events import DeskTick, RequestAsked, RequestEnded
from sparkctl.planning.gateway.desk.rules.waiting_words import waiting_words
from sparkctl.planning.gateway.desk.step import EMPTY, step

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.planning.gateway.desk.effects import DeskEffect
    from sparkctl.planning.gateway.desk.events import DeskEvent
    from sparkctl.planning.gateway.desk.request import DeskRequest


class DeskHands(Protocol):
    """Begins what the desk wants done of services; how it ended is told as an event."""

    def start(self, effect: StartService) -> None:
        """Begin a start."""

    def stop(self, effect: StopService) -> None:
        """Begin a stop."""

    def hold(self, effect: HoldService) -> None:
        """Keep that a service was given up."""

    def look(self) -> None:
        """Begin a look at the memory."""


class Clerk:
    """Keeps the desk. ``now`` are seconds on a clock that only runs forward; ``seen`` is told each effect."""

    def __init__(
        self, hands: DeskHands, now: Callable[[], float], seen: Callable[[DeskEffect], None] = lambda _: None
    ) -> None:
        self.desk = EMPTY
        self.hands = hands
        self._now = now
        self._seen = seen
        self._answers: dict[str, asyncio.Future[ForwardRequest | RefuseRequest]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._events: deque[DeskEvent] = deque()
        self._telling = False

    def ask(self, request: DeskRequest) -> asyncio.Future[ForwardRequest | RefuseRequest]:
        """Bring a request to the desk, and return what becomes of it, which may be known at once."""
        answer = self._answers[request.id] = asyncio.get_running_loop().create_future()
        self.tell(RequestAsked(request))
        return answer

    def over(self, request: str) -> None:
        """Tell the desk that a request is over, however it ended; nothing if the desk does not know it."""
        answer = self._answers.pop(request, None)
        if answer is not None:
            answer.cancel()
        self.tell(RequestEnded(request))

    def words(self, request: str) -> str:
        """Return what a request waits for now, "" for one that does not wait."""
        one = self.desk.requests.get(request)
        words = "" if one is None else waiting_words(self.desk, one, self._now())
        return f"sparkctl {words}" if words else ""

    def tell(self, event: DeskEvent) -> None:
        """Tell the desk what happened, and do what follows. Events that come up meanwhile are told after it."""
        self._events.append(event)
        if self._telling:
            return
        self._telling = True
        try:
            while self._events:
                self.desk, effects = step(self.desk, self._events.popleft(), self._now())
                for effect in effects:
                    self._seen(effect)
                    self._do(effect)
        finally:  # a defect in one event must not end what becomes of all others
            self._telling = False
        self._wake()

    def close(self) -> None:
        """Wake up no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _do(self, effect: DeskEffect) -> None:
        match effect:
            case ForwardRequest() | RefuseRequest():
                answer = self._answers.get(effect.id)
                if answer is not None and not answer.done():
                    answer.set_result(effect)
            case TellWaiter():
                pass  # the door asks for the words when it sends a comment
            case StartService():
                self.hands.start(effect)
            case StopService():
                self.hands.stop(effect)
            case HoldService():
                self.hands.hold(effect)
            case LookAtMemory():
                self.hands.look()

    def _wake(self) -> None:
        """See to it that the desk is told that time has passed, when that changes something."""
        self.close()
        left = due_s(self.desk, self._now())
        if left is not None:
            self._timer = asyncio.get_running_loop().call_later(max(left, 0.01), self.tell, DeskTick())
