"""Whatever fails when: a request is asked of two hosts at most, never twice of one, and never after its first byte."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from sparkctl.operations.gateway.acting.clerk import Clerk
from sparkctl.operations.gateway.requests.handler import GatewayHandler
from sparkctl.operations.gateway.requests.served import ServedStack, ServerAt
from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.gateway.desk.events import FarSeen, SeenAtDesk, ServicesSeen, StackDeclared
from sparkctl.planning.gateway.desk.service import DeskDeclared, DeskState
from sparkctl.planning.gateway.names import NamedService, table
from sparkctl.planning.gateway.places.balance import LEAD
from sparkctl.planning.gateway.places.elsewhere import DeclaredElsewhere, FarNamed, together
from sparkctl.world.door_ports import Answered, Arrival, Decision, Ended, Forward, Refuse, Usage, Wait

SERVICES = ("a", "a@b", "a@c")
LIMIT, QUEUE = 2, 1
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 2), st.booleans()),
        st.tuples(
            st.sampled_from(("byte", "end", "left", "lost", "unsent", "failed")), st.integers(0, 7), st.booleans()
        ),
        st.tuples(st.just("see"), st.integers(0, 2), st.booleans()),
    ),
    max_size=40,
)


class NoHands:
    """Nothing is started or stopped: the service here is started by hand alone."""

    def start(self, effect: object) -> None:
        raise AssertionError(effect)

    stop = hold = start

    def look(self) -> None:
        raise AssertionError


class Anybody:
    """A caller without a key, and who lets everybody in."""

    name, may_start = "", True

    def caller(self, arrival: Arrival) -> Anybody:
        return self

    def may_use(self, model: str) -> bool:
        return True

    def revoked(self) -> bool:
        return False

    def used(self, prompt: int | None, completion: int | None) -> None:
        pass


@dataclass
class Request:
    """A request, as the door has it. ``had`` are the servers that it was sent to, and that failed."""

    id: str
    at: str = ""
    had: list[str] = field(default_factory=list)
    decided: Decision | None = None
    waits: asyncio.Task[Decision] | None = None
    begun: bool = False

    @property
    def forward(self) -> Forward | None:
        return self.decided if isinstance(self.decided, Forward) else None


class Gateway:
    """The handler and the desk over three equal services, without a door."""

    def __init__(self) -> None:
        self.now = 0.0
        self.clerk = Clerk(NoHands(), lambda: self.now)
        self.over: list[str] = []
        self.handler = GatewayHandler(
            self.clerk, Anybody(), lambda: self.now, lambda done: self.over.append(done.now.id)
        )
        near = table([NamedService("a", ("tiny",), (), 4096, LIMIT)])
        far = [FarNamed(host, "a", "r", ("tiny",), 4096, LIMIT) for host in "bc"]
        names = together(near, far, DeclaredElsewhere({"a": "r"}))
        servers = {one: ServerAt(f"http://{one.replace('@', '-')}") for one in SERVICES}
        self.handler.stack = ServedStack("box", 0, names, servers)
        hosts = {one: one.partition("@")[2] for one in SERVICES}
        declared = [DeskDeclared(one, StartMode.MANUAL, limit=LIMIT, queue=QUEUE, host=hosts[one]) for one in SERVICES]
        self.clerk.tell(StackDeclared(tuple(declared)))
        self.requests: dict[int, Request] = {}
        self.asked = 0
        for place in range(len(SERVICES)):
            self.see(place, up=True)

    def see(self, place: int, *, up: bool) -> None:
        one = SeenAtDesk(SERVICES[place], DeskState.READY if up else DeskState.OFF, "it is down")
        self.clerk.tell(FarSeen((one,)) if "@" in one.service else ServicesSeen((one,)))

    async def ask(self, beginning: int) -> None:
        self.asked += 1
        id_ = f"r{self.asked}"
        document = {"model": "a", "messages": [{"role": "user", "content": f"beginning {beginning}"}]}
        arrival = Arrival(
            id_, "POST", "/v1/chat/completions", "a", "", False, "json", b"{}", document, {}, {}, "", "", "localhost"
        )
        request = self.requests[self.asked] = Request(id_)
        desk = self.clerk.desk
        load = {
            one: desk.serving(one) + desk.waiting(one)
            for one in SERVICES
            if desk.services[one].state is DeskState.READY
        }
        await self.decide(request, await self.handler.arrive(arrival))
        free = [count for count in load.values() if count < LIMIT] or list(load.values())
        if request.at and load:
            assert load[request.at] <= min(free) + LEAD

    async def decide(self, request: Request, decision: Decision | None) -> None:
        request.decided, request.waits = decision, None
        if isinstance(decision, Wait):
            request.waits = asyncio.ensure_future(decision.decided)  # type: ignore[arg-type]
        elif isinstance(decision, Forward):
            request.at = decision.answer_headers["x-sparkctl-model"]
            assert not request.begun, "what was begun is asked of nobody else"
            assert len(request.had) <= 1
            assert request.at not in request.had, "never twice of one server"

    async def settle(self) -> None:
        """Let what waited go on, and what was refused end."""
        for _ in range(3):
            await asyncio.sleep(0)
        for request in list(self.requests.values()):
            if request.waits is not None and request.waits.done():
                await self.decide(request, request.waits.result())
            if isinstance(request.decided, Refuse):
                self.end(request)

    def end(self, request: Request) -> None:
        if request.waits is not None:
            request.waits.cancel()
        self.requests = {number: one for number, one in self.requests.items() if one is not request}
        self.handler.ended(request.id, Ended("done", 200, 1, Usage(None, None), ""))

    async def act(self, what: str, request: Request) -> None:
        forward = request.forward
        if what in {"end", "left"}:
            self.end(request)
        elif forward is None or request.begun:
            return
        elif what == "byte":
            request.begun = True
            self.handler.first_byte(request.id, 200, b"data")
        elif what == "failed":
            judge = forward.judge
            request.had.append(request.at)
            found = None if judge is None else await judge(Answered(500, {}, b"{}"))
            if found is None:
                request.begun = True
                self.handler.first_byte(request.id, 500, b"{}")
            else:
                await self.decide(request, found)
        elif forward.lost is not None:
            request.had += [] if what == "unsent" else [request.at]
            await self.decide(request, await forward.lost(what == "unsent", "closed the connection"))


async def played(acts: list[tuple[str, int, bool]]) -> Gateway:
    """Return the gateway after all of that."""
    gateway = Gateway()
    for what, number, flag in acts:
        gateway.now += 1.0
        if what == "ask":
            await gateway.ask(number)
        elif what == "see":
            gateway.see(number, up=flag)
        elif gateway.requests:
            await gateway.act(what, list(gateway.requests.values())[number % len(gateway.requests)])
        await gateway.settle()
        assert max(map(gateway.clerk.desk.serving, SERVICES)) <= LIMIT
    return gateway


async def ended(gateway: Gateway) -> None:
    """Let all be ready again, and answer: whoever waits has its turn."""
    for _ in range(len(gateway.requests) + 1):
        gateway.now += 1.0
        for place in range(len(SERVICES)):
            gateway.see(place, up=True)
        await gateway.settle()
        for request in list(gateway.requests.values()):
            if request.forward is not None:
                gateway.end(request)


@given(ACTS)
def test_no_request_is_lost_and_none_is_asked_of_more_than_two_hosts_s25(acts: list[tuple[str, int, bool]]) -> None:
    async def run() -> None:
        gateway = await played(acts)
        await ended(gateway)
        assert gateway.requests == {}, "each has an answer or a refusal"
        assert len(gateway.over) == len(set(gateway.over)) == gateway.asked
        assert gateway.clerk.desk.requests == {}
        gateway.clerk.close()

    asyncio.run(run())
