"""The gateway beside an agent: opened where the applied stack wants one, told what the agent sees, closed with it.

The agent's thread calls ``works_on`` and ``looked``; door, handler and desk live in a loop of their own.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from sparkctl.base.errors import EngineError, InputError, SparkctlError
from sparkctl.operations.agent.kept import BoxEvent, keep_event
from sparkctl.operations.gateway.acting.at_desk import seen_at_desk
from sparkctl.operations.gateway.acting.clerk import Clerk
from sparkctl.operations.gateway.acting.doing import Doing
from sparkctl.operations.gateway.acting.resolved import ReadyStack, made_ready, servers_now
from sparkctl.operations.gateway.acting.tap import ProgressTap
from sparkctl.operations.gateway.acting.worker import OneWorker, Thread
from sparkctl.operations.gateway.keys import folder
from sparkctl.operations.gateway.keys.at_door import DoorRules, KeysAtDoor
from sparkctl.operations.gateway.keys.use import KeyUses
from sparkctl.operations.gateway.loop import LoopThread
from sparkctl.operations.gateway.other_hosts import OtherHosts
from sparkctl.operations.gateway.requests.expected import ExpectedStack
from sparkctl.operations.gateway.requests.handler import GatewayHandler
from sparkctl.planning.box.declared import USUAL_GATEWAY
from sparkctl.planning.gateway.desk.events import GuardClosed
from sparkctl.world.door_ports import DoorPlace, host_is_loopback, why_not_bound

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sparkctl.operations.agent.beside import BoxLook
    from sparkctl.operations.context import World
    from sparkctl.operations.gateway.parts import GatewayParts, OnPage
    from sparkctl.operations.gateway.requests.told import RequestDone
    from sparkctl.planning.box.declared import DeclaredGateway
    from sparkctl.planning.box.generation import KeptGeneration
    from sparkctl.planning.gateway.desk.effects import DeskEffect
    from sparkctl.planning.gateway.desk.events import DeskEvent, StackDeclared, StartGoesOn
    from sparkctl.world.door_ports import Door, Pages

T = TypeVar("T")
KEEP_S: Final = 60.0
"""So often the use of keys is written, a choice: what a kill loses is that."""
_APPLYING: Final = "a command puts a stack into effect"
HANGS_S: Final = 15.0
"""A loop that gives no sign for so long hangs, a choice below the unit's WatchdogSec=30."""
GRACE_S: Final = 5.0
"""So long answers may go on when the gateway is closed, a choice: a unit is stopped within 90 s."""


class Gateway:
    """A gateway. ``url`` is where it listens, "" while it does not; ``worker`` is the agent's ``Work``, too."""

    def __init__(self, world: World, parts: GatewayParts) -> None:
        self.world = world
        self.parts = parts
        self.worker = OneWorker()
        self.url = ""
        self.look: BoxLook | None = None
        self.generation: KeptGeneration | None = None
        self._says = Thread("sparkctl-gateway-says")
        self._thread: LoopThread | None = None
        self._door: Door | None = None
        self._at: DoorPlace | None = None
        self._ready: ReadyStack | None = None
        self._wanted: DeclaredGateway | None = None
        self._told: StackDeclared | None = None
        self._closed = GuardClosed("", waits=True)
        self._problem = ""
        self._lost: set[str] = set()
        self._settled = False
        self._sign_at: float | None = None
        self._answered_at = 0.0
        self._kept_at = world.clock.monotonic()
        self._report = world.report
        self._doing = Doing(world, self.worker, self._tell, self._note, self._beside)
        self.clerk = Clerk(self._doing, world.clock.monotonic, self._did)
        self.uses = KeyUses(world)
        self.keys = self._keys(USUAL_GATEWAY)
        self.handler = GatewayHandler(self.clerk, self.keys, world.clock.monotonic, self._over, self._lose)
        self.page: OnPage | None = None
        self.others = OtherHosts(world, self._far_looked, lambda: self.page is not None and self.page.seen())
        world.report = ProgressTap(world.report, self._goes_on)

    # --- in the agent's thread ---------------------------------------------------------------------------------------

    def well(self) -> bool:
        """Return whether the loop goes on: it was asked for a sign, and gave one in time."""
        if self._thread is None:
            return True
        now = self.now()
        if self._sign_at is None or self._answered_at >= self._sign_at:
            self._sign_at = now
            self._thread.call(self._answer)
        return now - self._sign_at <= HANGS_S

    def _answer(self) -> None:
        self._answered_at = self.now()

    def works_on(self) -> frozenset[str]:
        """Return the services that the desk has started or stopped, or is about to stop."""
        making = self.clerk.desk.making
        self._lost.clear()
        return self._doing.works_on() | (making.victims if making is not None else frozenset())

    def wants_look(self) -> bool:
        """Return whether a server took no connection since the last look began."""
        return bool(self._lost)

    def looked(self, look: BoxLook | None, begun: KeptGeneration | None = None) -> None:
        """Take note of a look of the agent: the door is opened or closed as what is applied wants it."""
        self.look = look
        gateway = None if look is None else self.declared(look.generation)
        if look is None and begun is not None and begun.gateway is not None:
            self._await(begun)
            return
        if look is None or gateway is None:
            self.close_door()
            return
        try:
            self._declare(look.generation, gateway)
            self.open(gateway)
        except SparkctlError as error:
            self._trouble(error)
        else:
            self._problem = ""
        self._loop().call(self._end_revoked)
        self._hand_on(look)
        self._loop().call(self.handler.applied)
        self._keep_uses()
        if self.url and not self._settled:
            self._settled = True
            self.parts.settle()

    def _await(self, begun: KeptGeneration) -> None:
        """Open the door for the first stack of a box, which a command puts into effect."""
        try:
            self.expect(begun.stack, begun.gateway)
        except SparkctlError as error:
            self._trouble(error)

    def expect(self, stack: str, gateway: DeclaredGateway | None) -> None:
        """Open the door that a stack's file wants before it is in effect; requests wait for that.

        So the trouble of a door is told before a model is started.

        Raises:
            EngineError, InputError: as for ``open``.
        """
        wanted = self._in_place(gateway)
        if wanted is not None:
            expected = ExpectedStack(stack, wanted.wait_s, comments=wanted.comments)
            self._loop().call(partial(self.handler.expect, expected))
            self.open(wanted)

    def begin(self, generation: KeptGeneration) -> None:
        """Open the door for a generation before the agent's first look, so that its trouble ends a command.

        Raises:
            EngineError, InputError: as for ``open``, or the engine does not answer.
        """
        gateway = self.declared(generation)
        if gateway is not None:
            self._declare(generation, gateway)
            self.open(gateway)

    def open(self, gateway: DeclaredGateway) -> None:
        """Open the door where it has to be, unless it is.

        Raises:
            EngineError: the address or the port cannot be had.
            InputError: other hosts could use it without a key, or the certificate cannot be used.
        """
        place = DoorPlace(gateway.bind, gateway.port, gateway.certificate, gateway.certificate_key)
        servers = {} if self._ready is None else self._ready.served.servers
        for name, server in servers.items():
            if server.url.endswith(f":{place.port}"):
                hint = "another port for one of them: gateway.port, serve.port"
                raise InputError(f"the gateway's port {place.port} is that of {name}", hint=hint)
        if place == self._at:
            return
        keys = self._allowed(gateway)
        self._close_door()
        self.keys = self.handler.doorkeeper = keys
        thread = self._loop()
        pages = self._pages(thread)
        self._door = thread.wait_for(self.parts.opener(place, self.handler, pages, self.parts.bounds))
        self._at, self.url = place, self._door.url
        self._report.say(f"the gateway listens at {self.url}/v1")

    def _allowed(self, gateway: DeclaredGateway) -> KeysAtDoor:
        """Return who knows the keys at a door.

        Raises:
            InputError: other hosts could use it without a key.
        """
        keys = self._keys(gateway)
        why = why_not_bound(gateway.bind, keys=bool(keys.keys), opened=gateway.open)
        if why:
            hint = "sparkctl keys add NAME makes one; --open, or open: true in the stack's file, does without"
            raise InputError(why, hint=hint)
        return keys

    def _pages(self, thread: LoopThread) -> Pages | None:
        """Return the routes of the page, which is made when the door is opened first, and kept fresh from then on."""
        if self.page is None and self.parts.page is not None:
            self.page = self.parts.page(self)
            thread.begin(self.page.keep())
        return None if self.page is None else self.page.routes()

    @property
    def host_names(self) -> frozenset[str]:
        """The names by which this host is meant in a browser, beside its addresses and localhost."""
        own = os.uname().nodename.lower()
        return frozenset({own, f"{own}.local"})

    def now(self) -> float:
        """Return the time on the desk's clock, in seconds."""
        return self.world.clock.monotonic()

    def _keys(self, gateway: DeclaredGateway) -> KeysAtDoor:
        """Return who knows the keys at a door that listens there."""
        rules = DoorRules(host_is_loopback(gateway.bind), gateway.open, self.host_names)
        return KeysAtDoor(folder.place(self.world), rules, self.uses, self.world.clock.monotonic, self._report.warn)

    def close_door(self) -> None:
        """Close the door, if it is open: what is answered may end for some seconds, and nobody waits for a stack."""
        if self._thread is not None:
            self._thread.call(self.handler.applied)
        self._close_door()

    def _close_door(self) -> None:
        door, thread = self._door, self._thread
        self._door, self._at, self.url = None, None, ""
        if door is not None and thread is not None:
            thread.wait_for(door.close(GRACE_S))

    def close(self) -> None:
        """End it; the services go on."""
        self.close_door()
        self._keep_uses(0.0)
        self.others.close()
        if self._thread is not None:
            self._thread.call(self.clerk.close)
            self._thread.close()
            self._thread = None
        self.world.report = self._report

    def in_loop(self, what: Coroutine[object, object, T]) -> T:
        """Do something in the loop, from another thread, and return what comes of it."""
        return self._loop().wait_for(what)

    def cancel(self, request: str) -> bool:
        """Break a request off; False where it is over. In the loop."""
        return self._door is not None and self._door.cancel(request)

    def declared(self, generation: KeptGeneration) -> DeclaredGateway | None:
        """Return where a generation's gateway listens, None for nowhere."""
        return self._in_place(generation.gateway)

    def _in_place(self, said: DeclaredGateway | None) -> DeclaredGateway | None:
        """Return what a stack's file says of the gateway, with what a command said in the place of that."""
        parts = self.parts
        found = said or (USUAL_GATEWAY if parts.always else None)
        if found is None:
            return None
        bind = found.bind if parts.host is None else parts.host
        port = found.port if parts.port is None else parts.port
        return replace(found, bind=bind, port=port, open=found.open or parts.open)

    def _declare(self, generation: KeptGeneration, gateway: DeclaredGateway) -> None:
        """Tell handler and desk what is applied, where that has changed."""
        if self.generation is not None and (generation, gateway) == (self.generation, self._wanted):
            return
        ready = made_ready(self.world, generation, gateway)
        self._doing.generation = generation
        self.generation, self._wanted, self._ready = generation, gateway, ready
        self.others.begin(generation, gateway.queue)
        self._loop().call(partial(self._take, ready))

    def _hand_on(self, look: BoxLook) -> None:
        """Tell the desk what the agent saw."""
        ready = self._ready
        if ready is None or self._thread is None:
            return
        servers = servers_now(dict(ready.served.servers), look)
        if servers != ready.served.servers:
            ready = self._ready = ready._replace(served=replace(ready.served, servers=servers))
            self._thread.call(partial(self._take, ready))
        self.others.looked(look)
        closed = GuardClosed(look.seen.closed or (_APPLYING if look.applying else ""), waits=not look.seen.closed)
        if closed != self._closed:
            self._closed = closed
            self._tell(closed)
        unsure = self._doing.unsure().union(self._lost)
        seen = seen_at_desk(look, self.world.ports.clock.monotonic(), unsure)
        if seen is not None:
            self._tell(seen)

    def _keep_uses(self, every_s: float = KEEP_S) -> None:
        """Keep what was done with each key, each minute or so."""
        now = self.world.clock.monotonic()
        if now - self._kept_at < every_s:
            return
        self._kept_at = now
        try:
            self.uses.keep()
        except InputError as error:
            self._report.warn(f"what is done with keys is not kept: {error.message}")

    def _trouble(self, error: SparkctlError) -> None:
        if error.message != self._problem:
            self._problem = error.message
            self._report.warn(f"the gateway: {error.message}{f' ({error.hint})' if error.hint else ''}")

    # --- in the loop -------------------------------------------------------------------------------------------------

    def _take(self, ready: ReadyStack) -> None:
        ready = self.others.joined(ready)
        self.handler.stack = ready.served
        if self._told != ready.declared:
            self._told = ready.declared
            self.clerk.tell(ready.declared)

    def _take_host(self, host: str) -> None:
        if self._ready is not None:
            self._take(self._ready)
            self.clerk.tell(self.others.seen(host))

    def _lose(self, service: str) -> None:
        """Take note of a service whose server gave nothing: the host that has it is looked at at once."""
        if not self.others.look_soon(service):
            self._lost.add(service)

    def _end_revoked(self) -> None:
        """Break off what a key began that was revoked meanwhile."""
        for request in self.handler.revoked():
            self.cancel(request)

    def _over(self, done: RequestDone) -> None:
        self._says.give(partial(self._report.say, done.line))
        self.parts.done(done)
        if self.page is not None:
            self.page.over(done)

    def _did(self, effect: DeskEffect) -> None:
        if self.page is not None:
            self.page.did(effect)

    # --- from any thread ---------------------------------------------------------------------------------------------

    def _loop(self) -> LoopThread:
        if self._thread is None:
            self._thread = LoopThread()
        return self._thread

    def _tell(self, event: DeskEvent) -> None:
        """Tell the desk something."""
        if self._thread is not None:
            self._thread.call(partial(self.clerk.tell, event))

    def _goes_on(self, event: StartGoesOn) -> None:
        """Tell how far a start is: the desk, and who waits for a whole stack."""
        expected = self.handler.expected
        if expected is not None:
            expected.now = f"{event.service}: {event.phase}"
        self._tell(event)

    @property
    def applying(self) -> str:
        """What is being put into effect at this moment, as words, "" for nothing."""
        expected = self.handler.expected
        return self._closed.why if expected is None and self._closed.waits else "" if expected is None else expected.why

    def _far_looked(self, host: str) -> None:
        """Take note that another host was looked at."""
        if self._thread is not None:
            self._thread.call(partial(self._take_host, host))

    def _beside(self, work: Callable[[], None]) -> None:
        self._loop().beside(work)

    def _note(self, service: str, kind: str, words: str) -> None:
        """Tell what happens to a service, and keep it as an event."""
        self._says.give(partial(self._keep, BoxEvent(self.world.clock.epoch(), service, kind, words)))

    def _keep(self, event: BoxEvent) -> None:
        self._report.say(f"{event.service}: {event.words}")
        try:
            keep_event(self.world, event)
        except (InputError, EngineError) as error:
            self._report.warn(f"what happens here is not kept: {error.message}")
