"""A websocket through the door: what either side says goes to the other, and so does how it closes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import WSMsgType, web

from sparkctl.base.units import MIB
from sparkctl.world.door.to_server import FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

    from sparkctl.world.door.to_client import ToClient

MOST: Final = 16 * MIB
"""Bytes of a message (a choice): 5 minutes of the 16 kHz audio that vLLM takes are 9.6 MB, 12.8 in base64."""
_GOING_AWAY: Final = 1001
_BROKEN: Final = 1006
_SERVER_FAILED: Final = 1011
_NOT_SENT: Final = frozenset({1004, 1005, 1006, 1015})
"""Codes for the end of a connection that must never be sent (RFC 6455, 7.4.1)."""


class Sockets:
    """The two ends of a websocket. That of the client does not close by itself: it is told of first.

    ``over`` is told, once, when a side has closed, and whether the server died: before the other is closed too, after
    which its client may be gone. ``rests`` is told when nothing has gone either way for a while, and when something
    goes again.
    """

    def __init__(
        self,
        client: web.WebSocketResponse,
        server: aiohttp.ClientWebSocketResponse,
        out: ToClient,
        over: Callable[[bool], None],
        rests: Callable[[bool], None],
    ) -> None:
        self._client = client
        self._server = server
        self._out = out
        self._over = over
        self._loop = asyncio.get_running_loop()
        self._moved_at = self._loop.time()
        self._rests = rests
        self._goes = asyncio.Event()
        self._goes.set()

    async def run(self, rest_s: float) -> None:
        """Carry messages until one side closes; one on which nothing went for ``rest_s`` rests."""
        watch = asyncio.create_task(self._watch(rest_s))
        from_client = asyncio.create_task(self._carry(self._client, self._server))
        from_server = asyncio.create_task(self._carry(self._server, self._client))
        try:
            await asyncio.wait({from_client, from_server}, return_when=asyncio.FIRST_COMPLETED)
            died = from_server.done() and self._server.close_code in {None, _BROKEN}
            self._over(died)
            if from_server.done():
                await self._client.close(code=_SERVER_FAILED if died else _sendable(self._server.close_code))
            else:
                await self._server.close(code=_sendable(self._client.close_code))
                await self._client.close(code=_sendable(self._client.close_code))
        finally:
            for task in (watch, from_client, from_server):
                task.cancel()
            await asyncio.gather(watch, from_client, from_server, return_exceptions=True)
            await self._server.close(code=_GOING_AWAY)

    async def _carry(
        self,
        this: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
        other: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    ) -> None:
        """Carry what one side says to the other, until it closes or the other does not take it."""
        try:
            async for message in this:
                self._moved()
                if message.type is WSMsgType.TEXT:
                    await other.send_str(message.data)
                elif message.type is WSMsgType.BINARY:
                    await other.send_bytes(message.data)
                if other is self._client:
                    self._out.sent += len(message.data)
        except FAULTS:
            return

    def _moved(self) -> None:
        self._moved_at = self._loop.time()
        if not self._goes.is_set():
            self._goes.set()
            self._rests(False)

    async def _watch(self, rest_s: float) -> None:
        """Look whether something moves: one look for all messages of a while."""
        while True:
            due = self._moved_at + rest_s - self._loop.time()
            if due > 0:
                await asyncio.sleep(due)
                continue
            self._goes.clear()
            self._rests(True)
            await self._goes.wait()


def _sendable(code: int | None) -> int:
    return _GOING_AWAY if code is None or code in _NOT_SENT else code
