"""One request from its handler's first decision to its end: held, refused, forwarded, answered, or broken off."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from aiohttp import web

from sparkctl.world.door import forms, headers, paths, realtime, tokens
from sparkctl.world.door.arriving import LONG
from sparkctl.world.door.errors_of_apis import error_body, error_event, error_headers
from sparkctl.world.door.to_client import ClientGoneError, ToClient
from sparkctl.world.door.to_server import EndsWithConnection, ServerDiedError, Servers, begin_of, piece_of
from sparkctl.world.door_ports import (
    CLIENT_LEFT,
    Answered,
    AnswerWith,
    Ended,
    Forward,
    Refuse,
    Usage,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

    from sparkctl.world.door_ports import Arrival, Body, Bounds, Decision, DoorHandler, How

_LOG: Final = logging.getLogger("sparkctl")
_EVENTS: Final = "text/event-stream"
_BETWEEN_EVENTS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")
_LAST_PIECES: Final = 8
"""Pieces at the end of an answer, among which its server says how many tokens it had."""
_FIRST_BYTES: Final = 16 << 10
_WORDS_OF_ERROR: Final = 64 << 10
_OK: Final = 200
_SWITCHED: Final = 101
_BAD_GATEWAY: Final = 502


class Asked:
    """A request that the handler decides on."""

    def __init__(self, arrival: Arrival, request: web.BaseRequest, door: tuple[DoorHandler, Servers, Bounds]) -> None:
        self._arrival = arrival
        self._request = request
        self._handler, self._servers, self._bounds = door
        self.client = ToClient(request)
        self.cancelled = False
        """Whether the door breaks it off, and not its client."""
        self._anthropic = paths.is_anthropic(arrival.path)
        self._how: How = "left"
        self._status = CLIENT_LEFT
        self._words = ""
        self._first = b""
        self._last: deque[bytes] = deque(maxlen=_LAST_PIECES)

    async def run(self) -> web.StreamResponse:
        """Do what the handler decides, and tell it how that ended."""
        try:
            await self._decided()
        except ClientGoneError:
            if self._how != "died":
                self._is("left", CLIENT_LEFT)
        except asyncio.CancelledError:
            if self.cancelled:
                self._how, self._words = "cancelled", "broken off by the gateway"
            raise
        finally:
            usage = tokens.usage(self._first, b"".join(self._last)) if self._first else Usage(None, None)
            self._handler.ended(self._arrival.id, Ended(self._how, self._status, self.client.sent, usage, self._words))
        return self.client.response

    async def _decided(self) -> None:
        try:
            decision: Decision | None = await self._handler.arrive(self._arrival)
            while decision is not None:
                decision = await self._done(decision)
        except ClientGoneError:
            raise
        except Exception as error:  # noqa: BLE001  (whatever fails in here, the client has an answer)
            _LOG.exception("request %s: the handler failed", self._arrival.id)
            await self._refuse(Refuse(500, "internal_error", f"sparkctl failed: {type(error).__name__}"))

    async def _done(self, decision: Decision) -> Decision | None:
        """Carry out a decision, and return the one that replaces it, None if there is none."""
        if isinstance(decision, Wait):
            return await self._wait(decision)
        if isinstance(decision, Forward):
            return await self._forward(decision)
        if isinstance(decision, AnswerWith):
            body = json.dumps(decision.document).encode()
            self._is("done", _OK)
            await self._answer(_OK, {"Content-Type": "application/json"}, body)
            return None
        await self._refuse(decision)
        return None

    def _is(self, how: How, status: int, words: str = "") -> None:
        self._how, self._status, self._words = how, status, words

    # --- held -------------------------------------------------------------------------------------------------------

    async def _wait(self, wait: Wait) -> Decision:
        """Hold the request; a stream hears from time to time that it is not forgotten."""
        decided = asyncio.ensure_future(wait.decided)
        pause = self._bounds.comment_s if self.client.begun else self._bounds.quiet_s
        speaks = self._arrival.stream and wait.says is not None
        try:
            while not decided.done():
                await asyncio.wait({decided}, timeout=pause if speaks else None)
                if not decided.done() and wait.says is not None:
                    await self._comment(wait.says)
                    pause = self._bounds.comment_s
        finally:
            decided.cancel()
        return decided.result()

    async def _comment(self, says: Callable[[], str]) -> None:
        if not self.client.begun:
            told = headers.of_own({**headers.UNBUFFERED, "Content-Type": _EVENTS}, self._arrival.id)
            await self.client.begin(_OK, told.items())
        await self.client.write(f": {' '.join(says().split())}\n\n".encode())

    # --- answered by the door itself --------------------------------------------------------------------------------

    async def _refuse(self, refusal: Refuse, how: How = "refused") -> None:
        self._is(how, refusal.status, refusal.message)
        if self.client.begun:
            if self._arrival.stream:
                await self.client.write(error_event(refusal, self._arrival.id, anthropic=self._anthropic))
            self.client.break_off()
            return
        told = {"Content-Type": "application/json", **error_headers(refusal)}
        await self._answer(refusal.status, told, error_body(refusal, self._arrival.id, anthropic=self._anthropic))

    async def _answer(self, status: int, told: dict[str, str], body: bytes) -> None:
        await self.client.whole(status, headers.of_own(told, self._arrival.id).items(), body)

    # --- forwarded --------------------------------------------------------------------------------------------------

    async def _forward(self, to: Forward) -> Decision | None:
        arrival = self._arrival
        if arrival.path == paths.MODELS:
            raise ValueError("the list of models is no server's")
        if arrival.form == "socket":
            return await self._socket(to)
        query = paths.query_of_server(arrival.path, arrival.query)
        told = headers.to_server(self._request.headers, to.headers, arrival.id)
        try:
            url = f"{to.url}{arrival.path}{query}"
            body = await self._body(to)
            answer = await self._servers.ask(arrival.method, url, told, body, to.certificate, socket=to.socket)
        except ServerDiedError as error:
            return await self._unanswered(to, error)
        ends = EndsWithConnection(answer)
        try:
            return await self._judged(to, answer)
        finally:
            ends.over()
            answer.close()

    async def _body(self, to: Forward) -> Body:
        if to.body is not None:
            return to.body
        body = self._arrival.body
        if not to.model or self._arrival.form != "form":
            return body
        return await asyncio.to_thread(self._renamed, body, to) if len(body) > LONG else self._renamed(body, to)

    def _renamed(self, body: bytes, to: Forward) -> bytes:
        """Return a form with the name that its server has."""
        boundary = forms.boundary_of(self._request.headers.get("Content-Type", ""))
        part = next(part for part in forms.parts(body, boundary) if part.name == "model")
        return forms.with_value(body, part, to.model)

    async def _unanswered(self, to: Forward, error: ServerDiedError) -> Decision | None:
        """Do what is done where a server gave nothing that the client could have seen."""
        decision = await to.judge(Answered(None, {}, str(error).encode())) if to.judge is not None else None
        if decision is None and to.lost is not None:
            decision = await to.lost(error.unsent, str(error))
        if decision is not None:
            return decision
        refusal = Refuse(_BAD_GATEWAY, "server_died", f"the server of {self._arrival.model!r} {error}")
        await self._refuse(refusal, "died")
        return None

    async def _judged(self, to: Forward, answer: aiohttp.ClientResponse) -> Decision | None:
        """Read the beginning of an answer, or all of it if it is judged, before the client sees any of it."""
        events = answer.content_type == _EVENTS
        try:
            if to.judge is None or events:
                begin, whole = await piece_of(answer), False
            else:
                begin, whole = await begin_of(answer, self._bounds.judged_bytes)
        except ServerDiedError as error:
            return await self._unanswered(to, error)
        if whole and to.judge is not None:
            decision = await to.judge(Answered(answer.status, dict(answer.headers), begin))
            if decision is not None:
                return decision
        if self.client.begun and not (events and answer.status == _OK):
            await self._as_event(answer, begin)
            return None
        self._handler.first_byte(self._arrival.id, answer.status, begin)
        self._first = begin[:_FIRST_BYTES]
        if not self.client.begun:
            told = headers.to_client(answer.headers.items(), to.answer_headers, self._arrival.id)
            await self.client.begin(answer.status, told, answer.content_length)
        await self._streamed(answer, begin)
        return None

    async def _as_event(self, answer: aiohttp.ClientResponse, begin: bytes) -> None:
        """Tell an error of the server in the stream whose status line was sent with the comments."""
        try:
            while len(begin) < _WORDS_OF_ERROR and (piece := await piece_of(answer)):
                begin += piece
        except ServerDiedError:
            pass
        words = _message(begin)
        await self._refuse(Refuse(answer.status, "server_refused", words), "done")

    async def _streamed(self, answer: aiohttp.ClientResponse, piece: bytes) -> None:
        """Send an answer on, a write for each read; one that breaks off is never ended cleanly."""
        last, write, pace, now = self._last, self.client.write, self._servers.pace, asyncio.get_running_loop().time
        try:
            while piece:
                last.append(piece)
                await write(piece)
                if pace.is_over(now()):
                    await pace.rest(answer)
                piece = await piece_of(answer)
        except ServerDiedError as error:
            await self._broken(answer, str(error))
            return
        self._is("done", answer.status)  # before it ends: a client that has all of it may be gone in the same moment
        await self.client.end()

    async def _socket(self, to: Forward) -> Decision | None:
        """Open a websocket to the server, then to the client, and carry what either says."""
        arrival = self._arrival
        protocols = headers.protocols_of(self._request.headers)
        query = f"?{urlencode({'model': to.model or arrival.model})}" if to.model or arrival.model else ""
        told = headers.to_server(self._request.headers, to.headers, arrival.id)
        try:
            url = f"{to.url}{arrival.path}{query}"
            server = await self._servers.socket(url, told, protocols, realtime.MOST, (to.certificate, to.socket))
        except ServerDiedError as error:
            return await self._unanswered(to, error)
        try:
            out = web.WebSocketResponse(
                protocols=(server.protocol,) if server.protocol else (),
                max_msg_size=realtime.MOST,
                compress=False,
                autoclose=False,
            )
            out.headers.update(headers.of_own(to.answer_headers, arrival.id))
            await self.client.socket(out)
            self._handler.first_byte(arrival.id, _SWITCHED, b"")
            rests = partial(self._rests, arrival.id)
            await realtime.Sockets(out, server, self.client, self._socket_is_over, rests).run(self._bounds.rest_s)
        finally:
            await server.close()
        return None

    def _socket_is_over(self, died: bool) -> None:
        if died:
            self._is("died", _BAD_GATEWAY, "broke the websocket off")
        else:
            self._is("done", _SWITCHED)

    def _rests(self, request: str, rests: bool) -> None:
        self._handler.rests(request, rests=rests)

    async def _broken(self, answer: aiohttp.ClientResponse, words: str) -> None:
        """Say in a stream why it ends, and end no answer cleanly.

        After half an event nothing is said: the rest of that event would be what is said, and no client could read it.
        """
        self._is("died", _BAD_GATEWAY, words)
        if answer.content_type == _EVENTS and b"".join(self._last).endswith(_BETWEEN_EVENTS):
            refusal = Refuse(_BAD_GATEWAY, "server_died", f"the server of {self._arrival.model!r} {words}")
            await self.client.write(error_event(refusal, self._arrival.id, anthropic=self._anthropic))
        self.client.break_off()


def _message(body: bytes) -> str:
    """Return the message of a server's error, in either API's form; the whole body if it has neither form."""
    text = body[:_WORDS_OF_ERROR].decode("utf-8", "replace")
    try:
        said = json.loads(text)["error"]["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return text
    return said if isinstance(said, str) else text
