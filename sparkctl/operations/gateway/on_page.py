"""The gateway on its page and in its figures: what the desk knows, what the buttons do, what is counted."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.operations.gateway.by_hand import ByHand
from sparkctl.operations.gateway.metrics import CountedRequest, GatewayMetrics
from sparkctl.operations.page.served import served_page
from sparkctl.operations.page.view import GatewayOnPage, KeyOnPage, RequestOnPage, RouteOnPage
from sparkctl.planning.gateway.desk.effects import StopService
from sparkctl.planning.gateway.desk.events import ServicePinned
from sparkctl.planning.gateway.desk.rules.idle import idle_at
from sparkctl.planning.gateway.desk.service import UP, DeskState
from sparkctl.recipes.hosts.declared import HERE

if TYPE_CHECKING:
    from sparkctl.operations.gateway.gateway import Gateway
    from sparkctl.operations.gateway.keys.at_door import KeysAtDoor
    from sparkctl.operations.gateway.requests.told import RequestDone, RequestNow
    from sparkctl.operations.page.view import ServiceOnPage
    from sparkctl.planning.gateway.desk.effects import DeskEffect
    from sparkctl.planning.gateway.desk.service import DeskService
    from sparkctl.world.door_ports import Pages

NOBODY: Final = GatewayOnPage()
NO_NAME: Final = "-"
"""In the place of a model's name, of requests that ask for none."""
_SAID: Final = frozenset({DeskState.STARTING, DeskState.DRAINING, DeskState.STOPPING, DeskState.HELD})
"""States that the desk knows sooner than a look at the server."""
_LIVE: Final = frozenset({"ready", "busy", "running", "stuck", "failing", "unknown"})


class PageKeyring:
    """The keys of the gateway, as the page asks for them.

    Who may use every model and start any may press the buttons too: that is the same power.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    @property
    def _keys(self) -> KeysAtDoor:
        return self._gateway.keys

    def needed(self) -> bool:
        """Return whether nothing is shown without a key."""
        return self._keys.needed

    def named(self, key: str) -> str | None:
        """Return the name of a key, None if the key is not known."""
        found = self._keys.owner(key)
        return None if found is None else found.name

    def may_administer(self, name: str) -> bool:
        """Return whether the key of this name is known still, and may start, stop and cancel."""
        return any(one.name == name and one.may_start and not one.models for one in self._keys.keys)


class GatewayDesk(ByHand):
    """The gateway as the page sees it, and what its buttons do: a start is `up` in the agent's queue, a stop `down`."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway.world, gateway.worker.start)
        self._gateway = gateway
        self._escalated: Counter[tuple[str, str]] = Counter()
        self._last: dict[str, tuple[float, str]] = {}

    def escalated(self, route: str, why: str) -> None:
        """Take note of a request that went on to a route's second service."""
        self._escalated[route, why] += 1
        self._last[route] = self._gateway.world.ports.clock.epoch(), why

    def gateway(self) -> GatewayOnPage:
        """Return where it listens, the requests that are not over, and the use of keys and routes."""
        gateway, stack = self._gateway, self._gateway.handler.stack
        requests = tuple(map(self._request, gateway.handler.requests()))
        hosts = gateway.others.on_page()
        if stack is None:
            return NOBODY._replace(url=gateway.url, requests=requests, applying=gateway.applying, hosts=hosts)
        uses = {one.name: gateway.uses.of(one) for one in gateway.keys.keys}
        routes = [
            RouteOnPage(
                route.name,
                route.first,
                route.then,
                tuple((why, count) for (name, why), count in sorted(self._escalated.items()) if name == route.name),
                *self._last.get(route.name, (None, "")),
            )
            for route in stack.names.routes.values()
        ]
        return GatewayOnPage(
            gateway.url,
            (*stack.names.routes, *stack.names.services),
            gateway.keys.needed,
            requests,
            tuple(routes),
            tuple(
                KeyOnPage(name, one.requests, one.prompt_tokens, one.completion_tokens) for name, one in uses.items()
            ),
            gateway.applying,
            hosts,
        )

    def service(self, one: ServiceOnPage) -> ServiceOnPage:
        """Return a service with what the desk knows of it."""
        desk, now = self._gateway.clerk.desk, self._gateway.now()
        known = desk.services.get(one.name)
        if known is None:
            return one
        may = [name for name in one.may if name in {"start", "stop"}]
        if known.state in UP:
            may.append("unpin" if known.pinned else "pin")
        at = idle_at(known) if not desk.serving(one.name) else None
        shown = one._replace(
            pinned=known.pinned,
            may=tuple(may),
            idle_s=max(0.0, now - known.used_at) if known.state in UP and not desk.serving(one.name) else one.idle_s,
            stops_s=None if at is None else max(0.0, at - now),
            eta_s=None if known.eta_at is None else max(0.0, known.eta_at - now),
        )
        # A look of the agent's may be some seconds old: it does not know yet of what the desk has started.
        behind = known.state is DeskState.READY and shown.phase not in _LIVE
        return _as_the_desk_says(shown, known) if known.state in _SAID or behind else shown

    def _request(self, one: RequestNow) -> RequestOnPage:
        answered = "is answered" if one.first_byte_at is not None else "waits for the first byte"
        words = one.words.removeprefix("sparkctl ") or answered
        age_s = self._gateway.now() - one.at
        return RequestOnPage(
            one.id, one.model, one.service, one.key, age_s, words, reason=one.reason, waits=bool(one.words)
        )

    async def pin(self, service: str, *, pinned: bool) -> str:
        """Keep a service as it is, whoever wants its memory, or let it go again.

        Raises:
            InputError: there is none of this name.
        """
        if service not in self._gateway.clerk.desk.services:
            raise InputError(f"the stack that is applied has no service {service}")
        self._gateway.clerk.tell(ServicePinned(service, pinned))
        return f"{service} stays, whoever wants its memory" if pinned else f"{service} may go again"

    async def cancel(self, request: str) -> str:
        """Break a request off.

        Raises:
            InputError: it is over.
        """
        if not self._gateway.cancel(request):
            raise InputError(f"the request {request[:100]} is over")
        return f"the request {request} was broken off"


def _as_the_desk_says(one: ServiceOnPage, known: DeskService) -> ServiceOnPage:
    return one._replace(phase=str(known.state), words=known.phase or known.why)


class GatewayPage:
    """The page and the figures of a gateway: their routes, and what is counted for them."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.metrics = GatewayMetrics()
        self.desk = GatewayDesk(gateway)
        keys, names = PageKeyring(gateway), gateway.host_names
        self._routes, self.live = served_page(gateway.world, self.metrics.text, self.desk, keys, names, gateway.now)

    def routes(self) -> Pages:
        """Return the routes, as the door takes them."""
        return self._routes

    def seen(self) -> bool:
        """Return whether somebody sees the page now; from any thread."""
        return self.live.viewers > 0

    async def keep(self) -> None:
        """Look at the box again and again, until this is cancelled."""
        await self.live.keep()

    def over(self, done: RequestDone) -> None:
        """Count a request that is over."""
        now = done.now
        first_s = None if done.first_byte_s is None or done.waited_s is None else done.first_byte_s - done.waited_s
        counted = CountedRequest(
            now.model or NO_NAME,
            now.key,
            done.status,
            done.waited_s,
            first_s,
            done.prompt_tokens,
            done.completion_tokens,
            left=done.how == "left",
        )
        self.metrics.names(self._names())
        self.metrics.over(counted)
        if now.moved:
            self.metrics.moved(now.moved)
        at_desk = self._gateway.clerk.desk.services.get(now.service)
        if done.waited_s is not None and at_desk is not None:
            self.metrics.answered(now.service, at_desk.declared.host or HERE)
        if now.reason:
            self.metrics.escalated(now.model, now.reason)
            self.desk.escalated(now.model, now.reason)

    def did(self, effect: DeskEffect) -> None:
        """Count what the desk wants done."""
        if isinstance(effect, StopService):
            self.metrics.evicted(effect.service, str(effect.kind))

    def _names(self) -> frozenset[str]:
        stack = self._gateway.handler.stack
        return frozenset({NO_NAME} if stack is None else {NO_NAME, *stack.names.meant})
