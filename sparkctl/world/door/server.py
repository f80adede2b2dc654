"""The door, open: aiohttp's server and client in one loop, each request by the list of paths or as a page."""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn

from aiohttp import web

from sparkctl.base.errors import EngineError, InputError
from sparkctl.world.door import arriving, headers, pages, paths
from sparkctl.world.door.asked import Asked
from sparkctl.world.door.errors_of_apis import error_body, error_headers
from sparkctl.world.door.to_client import ClientGoneError, ToClient
from sparkctl.world.door.to_server import Servers
from sparkctl.world.door_ports import Bounds, Refuse

if TYPE_CHECKING:
    from sparkctl.world.door.pages import FoundPage
    from sparkctl.world.door.paths import KnownPath
    from sparkctl.world.door_ports import DoorHandler, DoorPlace, Pages

_LOG: Final = logging.getLogger("sparkctl")
_SILENT: Final = logging.getLogger("sparkctl.door.http")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
"""The logger in which aiohttp reports requests that are no HTTP: anybody can send as many as they like."""
_BACKLOG: Final = 1024
_LOOKS: Final = 4
"""How often within ``Bounds.unread_s`` is looked for clients that do not read."""
_CLOSING_S: Final = 1.0
_TURNS: Final = 3
"""Turns of the loop from a client that is accepted to a connection that can be closed (Python 3.11 asyncio)."""
_MOST_WORDS: Final = 300


class _Connection(web.RequestHandler):
    """A client's connection; malformed requests are answered in JSON, as all others are."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002  (aiohttp's signature)
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what aiohttp could not read, or what went wrong in here."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        words = " ".join((message or "").split())[:_MOST_WORDS]
        refusal = Refuse(status, "bad_http", f"no HTTP request that can be answered: {words}")
        response = web.Response(status=status, body=error_body(refusal, "", anthropic=False))
        response.headers.update({"Content-Type": "application/json", "Server": "sparkctl"})
        response.force_close()
        return response


class _Connections(web.Server):
    """aiohttp's server, with connections of our own."""

    def __call__(self) -> web.RequestHandler:
        """Make what speaks with a client that connects."""
        return _Connection(self, loop=self._loop, **self._kwargs)


async def _no_more(listening: asyncio.Server) -> None:
    """Stop listening, and let who was accepted in this moment become a connection, which is closed with the others.

    A server that is closed at once forgets them: their sockets stay open until they are collected (Python 3.11).
    """
    for listener in listening.sockets:
        asyncio.get_running_loop().remove_reader(listener.fileno())
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    listening.close()


class HttpDoor:
    """A door that is open; ``open_door`` opens one."""

    def __init__(self, handler: DoorHandler, pages_: Pages, bounds: Bounds) -> None:
        self._handler = handler
        self._bounds = bounds
        self._pages = pages.PageTable(pages_)
        self._servers = Servers(bounds)
        self._held = arriving.HeldBodies(bounds.bodies_bytes)
        self._asked: dict[str, Asked] = {}
        self._writing: set[ToClient] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._listening: asyncio.Server | None = None
        self._watch: asyncio.Task[None] | None = None
        self._connections = _Connections(
            self._serve,
            handler_cancellation=True,
            keepalive_timeout=bounds.idle_s,
            access_log=None,
            logger=_SILENT,
            auto_decompress=False,
        )
        self.url = ""

    # --- opened and closed ------------------------------------------------------------------------------------------

    async def listen(self, place: DoorPlace, encrypted: ssl.SSLContext | None) -> None:
        """Listen.

        Raises:
            EngineError: the address or the port cannot be had.
        """
        loop = asyncio.get_running_loop()
        try:
            self._listening = await loop.create_server(
                self._connections, place.host, place.port, ssl=encrypted, backlog=_BACKLOG
            )
        except (OSError, OverflowError) as error:
            await self._servers.close()
            words = getattr(error, "strerror", None) or str(error)
            raise EngineError(
                f"cannot listen on {place.host} port {place.port}: {words}",
                hint="another port, or see who has it: ss -ltnp",
            ) from None
        port = self._listening.sockets[0].getsockname()[1]
        host = f"[{place.host}]" if ":" in place.host else place.host
        self.url = f"http{'s' if encrypted is not None else ''}://{host}:{port}"
        self._watch = asyncio.create_task(self._look_for_unread())

    def cancel(self, request: str) -> bool:
        """Break a request off; return False if it is already over."""
        asked = self._asked.get(request)
        if asked is None:
            return False
        asked.cancelled = True
        asked.client.abort()
        return True

    async def close(self, grace_s: float) -> None:
        """Take nothing new, let what is answered end for so many seconds, and break off the rest."""
        self._closing = True
        if self._listening is not None:
            await _no_more(self._listening)
        if self._watch is not None:
            self._watch.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        for request in list(self._asked):
            self.cancel(request)
        for client in list(self._writing):
            client.abort()
        self._connections.pre_shutdown()
        await self._connections.shutdown(_CLOSING_S)
        await self._servers.close()

    async def _look_for_unread(self) -> None:
        """Let go of clients that take nothing of what is there for them: they hold a server's slot."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._bounds.unread_s / _LOOKS)
            before = loop.time() - self._bounds.unread_s
            for client in list(self._writing):
                if client.writing_since is not None and client.writing_since < before:
                    client.abort()

    # --- requests ---------------------------------------------------------------------------------------------------

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        path = request.raw_path.partition("?")[0]
        request_id = headers.request_id(request.headers.get("X-Request-Id", ""), self._asked)
        try:
            known = paths.known(path)
            if known is not None:
                return await self._of_model(request, known, request_id)
            page = self._pages.find(request.method, path)
            if page is None:
                arriving.refused(404, "unknown_path", f"{request.method} {path[:200]}: no path of this gateway")
            return await self._page(request, path, page, request_id)
        except arriving.NotTakenError as error:
            return _refused(error, path, request_id)
        except web.RequestPayloadError:
            refusal = arriving.NotTakenError(Refuse(400, "broken_body", "the body breaks off, or its chunks are none"))
            refusal.closes = True
            return _refused(refusal, path, request_id)

    async def _of_model(self, request: web.BaseRequest, known: KnownPath, request_id: str) -> web.StreamResponse:
        if self._closing:
            raise arriving.NotTakenError(Refuse(503, "closing", "the gateway is being closed", retry_after_s=5))
        if request.method not in known.methods:
            _wrong_method(request.method, known.methods)
        arriving.refuse_wrong_head(request, known, headers.key_of(request.headers))
        body = await arriving.whole_body(request, self._bounds.body_bytes, self._bounds, self._held)
        try:
            arrival = await arriving.read(request, known, body, request_id)
            # Another one of this id may have come whole while this one's body came.
            request_id = headers.request_id(request_id, self._asked)
            arrival = arrival._replace(id=request_id)
            asked = Asked(arrival, request, (self._handler, self._servers, self._bounds))
            self._asked[request_id] = asked
            self._idle.clear()
            self._writing.add(asked.client)
            try:
                return await asked.run()
            finally:
                del self._asked[request_id]
                self._writing.discard(asked.client)
                if not self._asked:
                    self._idle.set()
        finally:
            self._held.give_back(len(body))

    async def _page(self, request: web.BaseRequest, path: str, found: FoundPage, request_id: str) -> web.StreamResponse:
        if found.page is None:
            _wrong_method(request.method, found.methods)
        body = await arriving.whole_body(request, self._bounds.page_bytes, self._bounds, self._held)
        self._held.give_back(len(body))
        out = ToClient(request)
        self._writing.add(out)
        try:
            answer = await found.page(pages.asked(request, path, found.places, body))
            await pages.answer(out, answer, request_id, head=request.method == "HEAD")
        except ClientGoneError:
            pass
        except Exception:  # noqa: BLE001  (whatever fails in a page, its client has an answer)
            _LOG.exception("page %s failed", path)
            if out.begun:
                out.break_off()
            else:
                arriving.refused(500, "internal_error", "sparkctl failed")
        finally:
            self._writing.discard(out)
        return out.response


def _wrong_method(method: str, methods: tuple[str, ...] | frozenset[str]) -> NoReturn:
    allowed = ", ".join(sorted(methods))
    raise arriving.NotTakenError(
        Refuse(405, "wrong_method", f"{method}: expected {allowed}", headers={"Allow": allowed}), closes=True
    )


def _refused(error: arriving.NotTakenError, path: str, request_id: str) -> web.Response:
    body = error_body(error.refuse, request_id, anthropic=paths.is_anthropic(path))
    response = web.Response(status=error.refuse.status, body=body)
    told = {"Content-Type": "application/json", **error_headers(error.refuse)}
    response.headers.update(headers.of_own(told, request_id))
    if error.closes:
        response.force_close()
    return response


def _certificate(place: DoorPlace) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        made.load_cert_chain(place.certificate, place.certificate_key or None, password=lambda: "")
    except (OSError, ssl.SSLError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        where = " and ".join(filter(None, (place.certificate, place.certificate_key)))
        raise InputError(
            f"{where}: expected a certificate and its private key in PEM, without a password: {words}"
        ) from None
    return made


async def open_door(
    place: DoorPlace, handler: DoorHandler, pages: Pages | None = None, bounds: Bounds | None = None
) -> HttpDoor:
    """Open a door.

    Raises:
        EngineError: the address or the port cannot be had.
        InputError: the certificate cannot be used.
    """
    encrypted = _certificate(place) if place.certificate else None
    door = HttpDoor(handler, pages or {}, bounds or Bounds())
    await door.listen(place, encrypted)
    return door
