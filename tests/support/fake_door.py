"""A door without HTTP: tests bring requests to the handler, and see what becomes of them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sparkctl.world.door_ports import Answered, Arrival, Ended, Forward, Refuse, Usage, Wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from concurrent.futures import Future

    from sparkctl.world.door_ports import Bounds, Decision, DoorHandler, DoorPlace, How, Pages


@dataclass
class FakeDoor:
    """A door that is open, and its opener. ``fails`` is what an opening raises."""

    handler: DoorHandler | None = None
    place: DoorPlace | None = None
    closed: int = 0
    opened: int = 0
    fails: Exception | None = None
    cancelled: list[str] = field(default_factory=list)
    loop: asyncio.AbstractEventLoop | None = None
    number: int = 0

    @property
    def url(self) -> str:
        assert self.place is not None
        return f"http://{self.place.host}:{self.place.port}"

    async def __call__(
        self, place: DoorPlace, handler: DoorHandler, pages: Pages | None = None, bounds: Bounds | None = None
    ) -> FakeDoor:
        del pages, bounds
        if self.fails is not None:
            raise self.fails
        self.place, self.handler, self.loop = place, handler, asyncio.get_running_loop()
        self.opened += 1
        return self

    def cancel(self, request: str) -> bool:
        self.cancelled.append(request)
        return True

    async def close(self, grace_s: float) -> None:
        del grace_s
        self.closed += 1

    def ask(self, model: str, more: Mapping[str, Any] | None = None, **given: object) -> FakeRequest:
        """Bring a request, and do not wait for what becomes of it."""
        self.number += 1
        document = {"model": model, **(more or {})}
        arrival = Arrival(
            id=f"r{self.number}",
            method="POST",
            path="/v1/chat/completions",
            model=model,
            key="",
            stream=bool(document.get("stream")),
            form="json",
            body=json.dumps(document).encode(),
            document=document,
            wishes={},
            query={},
            address="127.0.0.1",
            origin="",
            host="127.0.0.1:8090",
        )._replace(**given)  # type: ignore[arg-type]
        return FakeRequest(self, arrival)

    def get(self, path: str, **given: object) -> FakeRequest:
        """Bring a request without a body."""
        return self.ask("", path=path, method="GET", form="nothing", body=b"", document={}, **given)  # type: ignore[arg-type]


class FakeRequest:
    """A request at the door."""

    def __init__(self, door: FakeDoor, arrival: Arrival) -> None:
        assert door.loop is not None
        assert door.handler is not None
        self.arrival = arrival
        self.waited = False
        self._door, self._handler, self._loop = door, door.handler, door.loop
        self._wait: Wait | None = None
        decided = self._decided(self._handler.arrive(arrival))
        self._done: Future[Decision | None] = asyncio.run_coroutine_threadsafe(decided, self._loop)

    async def _decided(self, asked: Awaitable[Decision]) -> Decision:
        found: Decision = await asked
        while isinstance(found, Wait):
            self.waited, self._wait = True, found
            found = await found.decided
        return found

    @property
    def says(self) -> str:
        """What a waiting client is told now."""
        return "" if self._wait is None or self._wait.says is None else self._wait.says()

    @property
    def open(self) -> bool:
        """Whether nothing is decided yet."""
        return not self._done.done()

    def decision(self, timeout: float = 5.0) -> Decision | None:
        """Wait for what is decided."""
        return self._done.result(timeout)

    def forwarded(self) -> Forward:
        """Return to which server it goes."""
        found = self.decision()
        assert isinstance(found, Forward), found
        return found

    def refused(self) -> Refuse:
        """Return with what it is refused."""
        found = self.decision()
        assert isinstance(found, Refuse), found
        return found

    def judged(self, status: int | None, body: object) -> Decision | None:
        """Let the decision's judge look at a server's answer, and wait for what it decides."""
        judge = self.forwarded().judge
        assert judge is not None
        answer = Answered(status, {}, json.dumps(body).encode())
        self._done = asyncio.run_coroutine_threadsafe(self._judged(judge(answer)), self._loop)
        return self.decision()

    def lost(self, *, unsent: bool = True) -> None:
        """Let its server take no connection, or break one off, and do not wait for what is decided then."""
        lost = self.forwarded().lost
        assert lost is not None
        self._done = asyncio.run_coroutine_threadsafe(
            self._judged(lost(unsent, "broke the connection off")), self._loop
        )

    async def _judged(self, asked: Awaitable[Decision | None]) -> Decision | None:
        found = await asked
        return None if found is None else await self._decided(_itself(found))

    def first_byte(self, piece: bytes = b"data: {}\n\n", status: int = 200) -> None:
        """Let the server begin to answer."""
        self._in_loop(lambda: self._handler.first_byte(self.arrival.id, status, piece))

    def rests(self, *, rests: bool = True) -> None:
        """Let nothing go over its socket, or something again."""
        self._in_loop(lambda: self._handler.rests(self.arrival.id, rests=rests))

    def end(self, how: How = "done", status: int = 200, tokens: tuple[int, int] | None = None) -> None:
        """End it, as the door does."""
        if how == "left":
            self._done.cancel()
        usage = Usage(*(tokens or (None, None)))
        self._in_loop(lambda: self._handler.ended(self.arrival.id, Ended(how, status, 10, usage, "")))

    def _in_loop(self, what: Callable[[], None]) -> None:
        async def do() -> None:
            what()

        asyncio.run_coroutine_threadsafe(do(), self._loop).result(5)


async def _itself(found: Decision) -> Decision:
    return found
