"""The page, served by the real door over a Spark of fakes; for a browser in a thread of its own."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from sparkctl.base.errors import InputError
from sparkctl.operations.gateway.by_hand import ByHand
from sparkctl.operations.gateway.metrics import GatewayMetrics
from sparkctl.operations.page.served import served_page
from sparkctl.operations.page.view import GatewayOnPage
from tests.support.door_bench import DoorBench, Got, bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from sparkctl.operations.context import World
    from sparkctl.operations.page.ports import PageKeys
    from sparkctl.operations.page.seen.live import LiveBox
    from sparkctl.operations.page.view import ServiceOnPage
    from sparkctl.world.door_ports import Page, PageAnswer, PageAsked, Pages

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class NamedKeys:
    """Keys in memory: each key's name, and the names that may administer."""

    keys: dict[str, str] = field(default_factory=dict)
    admins: set[str] = field(default_factory=set)

    def needed(self) -> bool:
        return True

    def named(self, key: str) -> str | None:
        return self.keys.get(key)

    def may_administer(self, name: str) -> bool:
        return name in self.admins and name in self.keys.values()


class NoKeys:
    """There are no keys: whoever reaches the door sees the page."""

    def needed(self) -> bool:
        """Return that there are none."""
        return False

    def named(self, key: str) -> str | None:
        """Return that no key is known."""
        return None

    def may_administer(self, name: str) -> bool:
        """Return that nobody's name is."""
        return False


class DeskOnPage(ByHand):
    """The buttons by hand, with requests and pins that a test gives."""

    def __init__(self, world: World) -> None:
        super().__init__(world, lambda call: threading.Thread(target=call, daemon=True).start())
        self.shown = GatewayOnPage()
        self.pinned: set[str] = set()

    def gateway(self) -> GatewayOnPage:
        return self.shown

    def service(self, one: ServiceOnPage) -> ServiceOnPage:
        pinned = one.name in self.pinned
        pin = "unpin" if pinned else "pin"
        return one._replace(pinned=pinned, may=(*one.may, pin) if "stop" in one.may else one.may)

    async def pin(self, service: str, *, pinned: bool) -> str:
        (self.pinned.add if pinned else self.pinned.discard)(service)
        return f"{service} is {'pinned' if pinned else 'as it was'}"

    async def cancel(self, request: str) -> str:
        left = tuple(one for one in self.shown.requests if one.id != request)
        if left == self.shown.requests:
            raise InputError(f"no request {request} is under way")
        self.shown = self.shown._replace(requests=left)
        return f"{request} was broken off"


@dataclass
class PageBench:
    """A page that is served; ``url`` is where."""

    door: DoorBench
    live: LiveBox
    desk: DeskOnPage
    metrics: GatewayMetrics
    url: str
    cut: threading.Event
    """While it is set, streams of events break off."""

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Got:
        return await self.door.get(path, headers)

    async def form(self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Got:
        return await self.door.post(path, urlencode(fields).encode(), {**FORM, **(headers or {})})

    async def token(self, headers: Mapping[str, str] | None = None) -> str:
        """Return what the page's forms carry."""
        found = re.search(r'name="token" value="([^"]*)"', (await self.get("/", headers)).body.decode())
        assert found is not None
        return found.group(1)


@asynccontextmanager
async def served(
    world: World,
    keys: PageKeys | None = None,
    *,
    ticks: bool = False,
    pages: Pages | None = None,
    now: Callable[[], float] = time.monotonic,
) -> AsyncIterator[PageBench]:
    """Serve the page of a world; with ``ticks`` it is looked at again and again. ``pages`` stand in for its own."""
    desk = DeskOnPage(world)
    metrics = GatewayMetrics()
    routes, live = served_page(world, metrics.text, desk, keys or NoKeys(), frozenset(), now)
    cut = threading.Event()
    own = {route: _cut_off(page, cut) if route[1] == "/events" else page for route, page in routes.items()}
    async with bench(pages={**own, **(pages or {})}) as door:
        keeps = asyncio.create_task(live.keep()) if ticks else None
        try:
            yield PageBench(door, live, desk, metrics, door.door.url, cut)
        finally:
            if keeps is not None:
                keeps.cancel()
                await asyncio.gather(keeps, return_exceptions=True)


def _cut_off(page: Page, cut: threading.Event) -> Page:
    """Return a page whose stream breaks off while the cut is made."""

    async def pieces(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for piece in body:
                if cut.is_set():
                    raise ConnectionResetError("cut")
                yield piece
        finally:
            await body.aclose()  # type: ignore[attr-defined]

    async def asked(request: PageAsked) -> PageAnswer:
        answer = await page(request)
        return answer if isinstance(answer.body, bytes) else answer._replace(body=pieces(answer.body))

    return asked


@contextmanager
def served_in_a_thread(world: World, keys: PageKeys | None = None, pages: Pages | None = None) -> Iterator[PageBench]:
    """Serve the page from a thread of its own, for a client that blocks."""
    ready = threading.Event()
    found: list[tuple[PageBench, asyncio.Event, asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        async with served(world, keys, ticks=True, pages=pages) as page:
            over = asyncio.Event()
            found.append((page, over, asyncio.get_running_loop()))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    try:
        assert ready.wait(10), "the page is not served"
        yield found[0][0]
    finally:
        for _, over, loop in found:
            loop.call_soon_threadsafe(over.set)
        thread.join(10)
