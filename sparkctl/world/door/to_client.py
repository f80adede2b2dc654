"""The answer on its way to a client: begun once, a write for each piece, ended cleanly or broken off."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterable

_FLUSHED_WITHIN_S: Final = 10.0
"""How long what was written before a break may take to reach the client (a choice)."""


class ClientGoneError(Exception):
    """The client is not there any more."""


class ToClient:
    """One answer. Memory for a client that does not read is bounded: a write waits until what is written is taken.

    ``writing_since`` is when the write that waits began, on the loop's clock; None: none waits.
    """

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._response: web.StreamResponse | None = None
        self._clock = asyncio.get_running_loop().time
        self.writing_since: float | None = None
        self.sent = 0

    @property
    def begun(self) -> bool:
        """Whether the status line is sent, so that no other can be."""
        return self._response is not None

    @property
    def response(self) -> web.StreamResponse:
        """The response object that aiohttp's server expects back."""
        return self._response if self._response is not None else web.Response(status=500)

    async def begin(self, status: int, headers: Iterable[tuple[str, str]], length: int | None = None) -> None:
        """Send the status line; ``length`` None: the end is told by the last chunk, and by nothing else."""
        response = web.StreamResponse(status=status)
        for name, value in headers:
            response.headers.add(name, value)
        response.content_length = length
        try:
            await response.prepare(self._request)
        except ConnectionError as error:
            raise ClientGoneError from error
        self._response = response

    async def socket(self, response: web.WebSocketResponse) -> None:
        """Agree to a websocket.

        Raises:
            ClientGoneError: nobody is there.
        """
        try:
            await response.prepare(self._request)
        except ConnectionError as error:
            raise ClientGoneError from error
        self._response = response

    async def whole(
        self, status: int, headers: Iterable[tuple[str, str]], body: bytes, *, closes: bool = False
    ) -> None:
        """Send an answer that is there whole; ``closes``: the connection ends with it."""
        response = self._response = web.Response(status=status, body=body)
        for name, value in headers:
            response.headers[name] = value
        if closes:
            response.force_close()
        self.sent = len(body)
        await self.end()

    async def write(self, piece: bytes) -> None:
        """Send a piece.

        Raises:
            ClientGoneError: nobody is there.
        """
        if self._response is None:
            raise RuntimeError("a piece before its status line")
        self.writing_since = self._clock()
        try:
            await self._response.write(piece)
        except ConnectionError as error:
            raise ClientGoneError from error
        self.writing_since = None
        self.sent += len(piece)

    async def end(self) -> None:
        """End the answer cleanly: it was whole.

        Raises:
            ClientGoneError: nobody is there.
        """
        self.writing_since = self._clock()
        try:
            await self.response.prepare(self._request)
            await self.response.write_eof()
        except ConnectionError as error:
            raise ClientGoneError from error
        self.writing_since = None

    def break_off(self) -> None:
        """End the connection without an end of the answer, after what was written.

        An answer that ends cleanly counts as complete, also for the official clients.
        """
        transport = self._request.transport
        if transport is not None:
            transport.close()
            asyncio.get_running_loop().call_later(_FLUSHED_WITHIN_S, transport.abort)

    def abort(self) -> None:
        """Close the connection at once; the task that answers it is cancelled."""
        transport = self._request.transport
        if transport is not None:
            transport.abort()
