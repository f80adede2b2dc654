"""Decides what happens to a request at the door: its key, its name, its route, and then the desk.

All of it runs in the gateway's loop and blocks nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from sparkctl.base.units import format_duration
from sparkctl.operations.gateway.requests.directing import Direction, both, direct
from sparkctl.operations.gateway.requests.placing import Placing
from sparkctl.operations.gateway.requests.refusals import refusal
from sparkctl.operations.gateway.requests.remembered import RememberedResponses
from sparkctl.operations.gateway.requests.told import NOBODY, RequestDone, RequestNow
from sparkctl.planning.gateway.body import LONG, changed, edited, edited_pieces
from sparkctl.planning.gateway.desk.effects import ForwardRequest, RefusedFor, RefuseRequest
from sparkctl.planning.gateway.desk.events import FirstByte, RequestRests, ServerLost
from sparkctl.planning.gateway.desk.request import WAIT_S, DeskRequest
from sparkctl.planning.gateway.desk.rules.refusing import KNOWN_WITHIN_S
from sparkctl.planning.gateway.names import model, models
from sparkctl.planning.gateway.routes import after
from sparkctl.world.door_ports import AnswerWith, Forward, Refuse, Wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sparkctl.operations.gateway.acting.clerk import Clerk
    from sparkctl.operations.gateway.callers import Caller, Doorkeeper
    from sparkctl.operations.gateway.requests.expected import ExpectedStack
    from sparkctl.operations.gateway.requests.served import ServedStack
    from sparkctl.planning.gateway.body import BodyChanges
    from sparkctl.planning.gateway.routes import Chosen
    from sparkctl.world.door_ports import Answered, Arrival, Decision, Ended

LIST: Final = "/v1/models"
RESPONSES: Final = "/v1/responses"
APPLIED_RETRY_S: Final = 30
"""When a stack is still put into effect after the longest wait, a choice."""
FAILED: Final = 500
"""From this status on a server says that it failed, and not the request."""
MODEL_HEADER: Final = "x-sparkctl-model"
ROUTE_HEADER: Final = "x-sparkctl-route"


@dataclass
class _Open:
    """A request that is not over. ``turn`` is its id at the desk, "" while it is not there.

    ``starts``: its service may be started for it. ``died`` is how its server gave nothing, "" while it did not.
    ``meant`` is the service that was asked for, and ``service`` the one of several hosts' equal ones that answers;
    ``moved`` is the one that it had before, "" while it had none.
    """

    arrival: Arrival
    caller: Caller | None
    at: float
    service: str = ""
    turn: str = ""
    direction: Direction | None = None
    chosen: Chosen | None = None
    forwarded_at: float | None = None
    first_byte_at: float | None = None
    starts: bool = False
    died: str = ""
    meant: str = ""
    moved: str = ""

    @property
    def key(self) -> str:
        """The name of its key."""
        return NOBODY if self.caller is None else self.caller.name or NOBODY

    @property
    def may_start(self) -> bool:
        """Whether its key may have a service started."""
        return self.caller is not None and self.caller.may_start


class GatewayHandler:
    """Decides. ``stack`` is what is applied, None for nothing; ``doorkeeper`` knows the keys.

    ``done`` is told each request that is over, and ``lost`` each service whose server took no connection, or broke one
    off without an answer.

    ``now`` are seconds on a clock that only runs forward.
    """

    def __init__(
        self,
        clerk: Clerk,
        doorkeeper: Doorkeeper,
        now: Callable[[], float],
        done: Callable[[RequestDone], None],
        lost: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.stack: ServedStack | None = None
        self._clerk = clerk
        self.doorkeeper = doorkeeper
        self._now = now
        self._done = done
        self._lost = lost
        self._expected: ExpectedStack | None = None
        self._open: dict[str, _Open] = {}
        self._responses = RememberedResponses()
        self._placing = Placing()

    def requests(self) -> list[RequestNow]:
        """Return the requests that are not over, in the order in which they came."""
        return [self._told(one) for one in self._open.values()]

    def revoked(self) -> list[str]:
        """Return the ids of the requests that are not over, and whose key was revoked meanwhile."""
        return [id_ for id_, one in self._open.items() if one.caller is not None and one.caller.revoked()]

    # --- a stack that is put into effect -----------------------------------------------------------------------------

    @property
    def expected(self) -> ExpectedStack | None:
        """The stack that is put into effect before anything is served, None for none."""
        return self._expected

    def expect(self, expected: ExpectedStack) -> None:
        """Let requests wait until a stack is in effect, as they wait for a cold start."""
        if self._expected is None or self._expected.stack != expected.stack:
            self.applied()
            self._expected = expected

    def applied(self) -> None:
        """Let those that waited for a stack go on, whatever became of it."""
        expected, self._expected = self._expected, None
        if expected is not None:
            expected.over.set()

    async def _applied(self, one: _Open, caller: Caller, expected: ExpectedStack) -> Decision:
        try:
            async with asyncio.timeout(expected.wait_s):
                await expected.over.wait()
        except TimeoutError:
            words = f"it was not there within {format_duration(expected.wait_s)}: {expected.why}"
            return Refuse(503, "not_ready", words, retry_after_s=APPLIED_RETRY_S)
        return self._directed(one, caller)

    # --- what the door asks and tells --------------------------------------------------------------------------------

    async def arrive(self, arrival: Arrival) -> Decision:
        """Say what is done with a request."""
        caller = self.doorkeeper.caller(arrival)
        known = caller if not isinstance(caller, Refuse) else None
        one = self._open[arrival.id] = _Open(arrival, known, self._now())
        if isinstance(caller, Refuse):
            return caller
        if self._expected is not None:
            says = self._expected.told if arrival.stream and self._expected.comments else None
            return Wait(self._applied(one, caller, self._expected), says)
        return self._directed(one, caller)

    def _directed(self, one: _Open, caller: Caller) -> Decision:
        """Say what is done with a request of somebody who is known, by what is applied."""
        stack, arrival = self.stack, one.arrival
        if stack is None:
            words = "no stack is applied here: sparkctl apply STACK"
            return Refuse(503, "nothing_applied", words, should_retry=False)
        if arrival.path == LIST:
            states = {name: service.state for name, service in self._clerk.desk.services.items()}
            listed = models(stack.names, states, stack.created, caller.may_use)
            found_model = model(listed, arrival.model) if arrival.model else listed
            if found_model is None:
                words = stack.names.why_not(arrival.model, caller.may_use)
                return Refuse(404, "model_not_found", words, should_retry=False)
            return AnswerWith(found_model)
        stored = self._responses.service(arrival.path, one.key)
        found = direct(arrival, caller, stack, self._clerk.desk, stored)
        if isinstance(found, Refuse):
            return found
        one.direction, one.meant, one.chosen = found, found.service, found.chosen
        one.service = self._placing.place(stack, self._clerk.desk, one.meant, arrival)
        return self._asked(one, may_start=found.may_start)

    def first_byte(self, request: str, status: int, piece: bytes) -> None:
        """Take note that a server began to answer."""
        one = self._open.get(request)
        if one is None:
            return
        if one.first_byte_at is None:
            one.first_byte_at = self._now()
        if one.turn:
            self._clerk.tell(FirstByte(one.turn))
        if one.arrival.path == RESPONSES and status == 200:  # noqa: PLR2004  (an error stores nothing)
            self._responses.note(piece, one.service, one.key)

    def rests(self, request: str, *, rests: bool) -> None:
        """Take note that nothing goes over a websocket, or something again: an open socket alone is no use."""
        one = self._open.get(request)
        if one is not None and one.turn:
            self._clerk.tell(RequestRests(one.turn, rests))

    def ended(self, request: str, ended: Ended) -> None:
        """Take note that a request is over."""
        one = self._open.pop(request, None)
        if one is None:
            return
        if one.turn:
            self._clerk.over(one.turn)
        usage = ended.usage
        if one.caller is not None:
            one.caller.used(usage.prompt, usage.completion)
        done = RequestDone(
            self._told(one),
            ended.how,
            ended.status,
            self._now() - one.at,
            ended.bytes,
            None if one.forwarded_at is None else one.forwarded_at - one.at,
            None if one.first_byte_at is None else one.first_byte_at - one.at,
            usage.prompt,
            usage.completion,
            ended.words,
        )
        self._done(done)

    # --- the desk ----------------------------------------------------------------------------------------------------

    def _asked(self, one: _Open, *, may_start: bool, sent: bool = False) -> Decision:
        """Bring a request to the desk; it waits no longer than it may, whatever it has waited for already."""
        stack, arrival = self.stack, one.arrival
        comments = stack is not None and stack.comments and arrival.stream
        one.turn = arrival.id if not one.turn else f"{arrival.id}+{one.service}"
        one.starts = may_start
        left_s = max(0.0, one.at + (WAIT_S if stack is None else stack.wait_s) - self._now())
        wait_s = min(left_s, KNOWN_WITHIN_S) if sent else left_s
        keeps = one.direction is None or one.direction.keeps
        turn = DeskRequest(one.turn, one.service, comments, may_start, keeps, sent, wait_s=wait_s)
        answer = self._clerk.ask(turn)
        if answer.done():
            return self._decided(one, answer.result())
        says = (lambda: self._clerk.words(one.turn)) if comments else None
        return Wait(self._later(one, answer), says)

    async def _later(self, one: _Open, answer: asyncio.Future[ForwardRequest | RefuseRequest]) -> Decision:
        return self._decided(one, await answer)

    def _decided(self, one: _Open, effect: ForwardRequest | RefuseRequest) -> Decision:
        if isinstance(effect, RefuseRequest):
            other = self._elsewhere(one)
            if other:
                return self._moved(one, other)
            died = effect.kind is RefusedFor.DIED and one.died
            return refusal(effect._replace(words=f"the server of {one.service} {one.died}") if died else effect)
        return self._forward(one)

    # --- handing it on -----------------------------------------------------------------------------------------------

    def _forward(self, one: _Open) -> Decision:
        """Hand a request to the server of its service, with the name that this one has."""
        stack, arrival = self.stack, one.arrival
        server = None if stack is None else stack.servers.get(one.service)
        if stack is None or server is None:
            return Refuse(503, "not_running", f"{one.service} is not served any more", retry_after_s=1)
        one.forwarded_at = self._now()
        headers = {"Authorization": f"Bearer {server.key}"} if server.key else {}
        told = {MODEL_HEADER: one.service}
        if one.chosen is not None:
            told[ROUTE_HEADER] = one.chosen.told
        named = stack.names.named(one.meant)
        if named is None:
            return Refuse(503, "not_running", f"{one.service} is not served any more", retry_after_s=1)
        # A service is asked by what it serves; the name of a route, or of the service, it does not know.
        changes = named.changes(arrival.model, arrival.path)
        edits = arrival.form == "json" and bool(arrival.model) and changed(arrival.document, changes)
        model = changes.model if arrival.form == "form" else ""
        direction, judge = one.direction, None
        if direction is not None and direction.keeps:
            first = direction.route is not None and one.meant == direction.route.first
            judge = partial(self._judged, one, direction) if first else self._shared(one)
        gone = partial(self._gone, one)
        forward = Forward(server.url, headers, None, model, told, server.certificate, server.socket, gone, judge)
        if edits and len(arrival.body) > LONG:
            return Wait(_later_edited(forward, arrival.body, changes))
        return forward._replace(body=edited(arrival.body, changes)) if edits else forward

    async def _judged(self, one: _Open, direction: Direction, answered: Answered) -> Decision | None:
        """Say whether the second service of a route is asked, now that the first one has answered."""
        stack, route, facts = self.stack, direction.route, direction.facts
        if stack is None or route is None or facts is None or one.arrival.id not in self._open:
            return None
        if answered.status is None and self._elsewhere(one):
            return None  # another host has the same service: that is asked before the second one is
        other = await self._failed(one, answered)
        if other is not None:
            return other
        services = both(route, stack, self._clerk.desk, may_start=one.may_start)
        chosen = after(route, facts, services, answered.status, answered.body)
        if chosen.service != route.then:
            return None
        self._clerk.over(one.turn)
        one.chosen, one.meant, one.first_byte_at = chosen, route.then, None
        one.service, one.moved = self._placing.place(stack, self._clerk.desk, route.then, one.arrival), ""
        return self._asked(one, may_start=one.may_start and route.start)

    async def _gone(self, one: _Open, unsent: bool, words: str) -> Decision | None:
        """Bring a request back to the desk whose server gave nothing: it waits as for a start, or is told why not."""
        if one.arrival.id not in self._open:
            return None
        one.died = words
        self._lost(one.service)
        at_desk = self._clerk.desk.services.get(one.service)
        if unsent or (
            at_desk is not None and at_desk.far
        ):  # what ssh forwards is taken, whether the server is there or not
            self._clerk.tell(ServerLost(one.service))
        other = self._elsewhere(one)
        if other:
            return self._moved(one, other)
        self._clerk.over(one.turn)
        return self._asked(one, may_start=one.starts, sent=not unsent)

    def _shared(self, one: _Open) -> Callable[[Answered], Awaitable[Decision | None]] | None:
        """Return the judge of an answer if other hosts have an equal service, None otherwise."""
        shared = self.stack is not None and len(self.stack.names.replicas.get(one.meant, ())) > 1
        return partial(self._failed, one) if shared and not one.moved else None

    async def _failed(self, one: _Open, answered: Answered) -> Decision | None:
        """Ask another host where a server says that it failed, as one does whose engine has died."""
        if answered.status is None or answered.status < FAILED or one.arrival.id not in self._open:
            return None
        other = self._elsewhere(one)
        if not other:
            return None
        self._lost(one.service)
        return self._moved(one, other)

    def _elsewhere(self, one: _Open) -> str:
        """Return which equal service of another host a request goes to that its own does not answer, "" for none.

        Each request goes to another one once.
        """
        if self.stack is None or one.moved or one.first_byte_at is not None:
            return ""
        return self._placing.ready(self.stack, self._clerk.desk, one.meant, one.arrival, {one.service})

    def _moved(self, one: _Open, service: str) -> Decision:
        self._clerk.over(one.turn)
        one.moved, one.service = one.service, service
        return self._asked(one, may_start=one.starts)

    def _words(self, one: _Open) -> str:
        waits = self._expected is not None and not one.service
        return self._expected.told() if waits and self._expected is not None else self._clerk.words(one.turn)

    def _told(self, one: _Open) -> RequestNow:
        chosen = one.chosen
        return RequestNow(
            one.arrival.id,
            one.arrival.model,
            one.service,
            one.key,
            one.arrival.path,
            one.at,
            one.forwarded_at,
            one.first_byte_at,
            "" if chosen is None or chosen.why is None else str(chosen.why),
            self._words(one),
            one.moved,
        )


async def _later_edited(forward: Forward, body: bytes, changes: BodyChanges) -> Decision:
    """Change a long body in a thread, so that the streams of others go on meanwhile."""
    return forward._replace(body=await asyncio.to_thread(edited_pieces, body, changes))
