"""Requests to servers, streamed: no time limit but that of the connection, and closed when left.

A server of another host is reached by a UNIX socket that ssh forwards, or by its address. There nobody says that a host
lost its power: so its silence is asked about, and ends the connection.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import socket as sockets
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp

from sparkctl.base.errors import InputError
from sparkctl.base.units import MIB
from sparkctl.world.certificate import certificate
from sparkctl.world.door.pace import StreamPace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sparkctl.world.door_ports import Body, Bounds

_AT_ONCE: Final = MIB
_SLICE: Final = 256 << 10
_NO_LIMIT: Final = None
ASK_S: Final = 5
ASKS: Final = 3
"""A host that says nothing for so many seconds is asked whether it is there, so often: a choice, 15 s in all."""
FAULTS: Final = (aiohttp.ClientError, OSError, TimeoutError, ValueError)
"""Errors of aiohttp's client for a server that is absent, breaks off or answers no HTTP."""

_NOT_CONNECTED: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)

_WORDS: Final = (
    (aiohttp.ServerFingerprintMismatch, "shows another certificate than its recipe names"),
    (aiohttp.ServerDisconnectedError, "closed the connection without an answer"),
    (aiohttp.ClientPayloadError, "broke off before the end of its answer"),
    ((ConnectionError, aiohttp.ClientOSError), "broke the connection off"),
    (TimeoutError, "did not accept the connection in time"),
)
"""The words for a server's fault, by the first matching class."""


class ServerDiedError(Exception):
    """A server that does not answer, or does not go on. The message says how it was.

    ``unsent``: it took no connection, so that nothing of the request was sent.
    """

    def __init__(self, message: str, *, unsent: bool = False) -> None:
        super().__init__(message)
        self.unsent = unsent


class Servers:
    """The client side of the door: one pool of connections for all servers, and one for each UNIX socket."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.pace = StreamPace(bounds)
        self._certificates: dict[str, tuple[tuple[int, int], aiohttp.Fingerprint]] = {}
        self._session = self._opened(
            aiohttp.TCPConnector(limit=0, keepalive_timeout=bounds.pool_s, socket_factory=line_to)
        )
        self._by_socket: dict[str, aiohttp.ClientSession] = {}

    def _opened(self, connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=_NO_LIMIT, sock_read=_NO_LIMIT, sock_connect=self._bounds.connect_s),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        for session in (self._session, *self._by_socket.values()):
            await session.close()

    async def _pool(self, socket: str) -> aiohttp.ClientSession:
        """Return the pool of a UNIX socket; those of sockets that are not there any more are closed."""
        if not socket:
            return self._session
        found = self._by_socket.get(socket)
        if found is None:
            for path in self._gone():
                await self._by_socket.pop(path).close()
            connector = aiohttp.UnixConnector(socket, limit=0, keepalive_timeout=self._bounds.pool_s)
            found = self._by_socket[socket] = self._opened(connector)
        return found

    def _gone(self) -> list[str]:
        """Return the sockets that are not there any more: their ssh has ended."""
        return [path for path in self._by_socket if not Path(path).exists()]

    def _shown(self, url: str, path: str) -> aiohttp.Fingerprint | bool:
        """Return what a server has to show: the certificate in a file, as for every other question to it; or any.

        Raises:
            ServerDiedError: the file cannot be used.
        """
        if not path or not url.startswith("https:"):
            return not url.startswith("https:")
        try:
            one = Path(path).stat()
            known = self._certificates.get(path)
            if known is None or known[0] != (one.st_mtime_ns, one.st_size):
                shown = aiohttp.Fingerprint(hashlib.sha256(certificate(path)).digest())
                known = self._certificates[path] = (one.st_mtime_ns, one.st_size), shown
        except (OSError, InputError) as error:
            message = error.message if isinstance(error, InputError) else f"{path}: {error.strerror}"
            raise ServerDiedError(f"is not asked, since its certificate cannot be read ({message})") from error
        return known[1]

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: Body, shows: str = "", *, socket: str = ""
    ) -> aiohttp.ClientResponse:
        """Send a request, and return its answer as far as its head.

        ``shows`` is ``Forward.certificate``, and ``socket`` that of a ``Forward``.

        Raises:
            ServerDiedError: there is none.
        """
        pieces = body if isinstance(body, tuple) else (memoryview(body),)
        length = sum(map(len, pieces))
        sent = b"".join(pieces) if length <= _AT_ONCE else _slices(pieces)
        size = {"Content-Length": str(length)} if length else {}
        session = await self._pool(socket) if socket else self._session
        try:
            return await session.request(
                method,
                url,
                data=sent or None,
                headers={**headers, **size},
                allow_redirects=False,
                ssl=self._shown(url, shows),
            )
        except FAULTS as error:
            raise _died(error) from error

    async def socket(
        self, url: str, headers: Mapping[str, str], protocols: tuple[str, ...], most: int, way: tuple[str, str]
    ) -> aiohttp.ClientWebSocketResponse:
        """Open a websocket to a server; ``most`` bytes has a message.

        ``way`` are the certificate and the socket of a ``Forward``.

        Raises:
            ServerDiedError: it opens none.
        """
        shows, socket = way
        session = await self._pool(socket) if socket else self._session
        try:
            return await session.ws_connect(
                f"ws{url.removeprefix('http')}",
                headers=headers,
                protocols=protocols,
                max_msg_size=most,
                ssl=self._shown(url, shows),
            )
        except FAULTS as error:
            raise _died(error) from error


def _died(error: Exception) -> ServerDiedError:
    return ServerDiedError(why(error), unsent=isinstance(error, _NOT_CONNECTED))


def line_to(address: tuple[int, int, int, str, tuple[str, int]]) -> sockets.socket:
    """Return a socket for an address; if the address is not this host's own, its silence is checked by probes."""
    family, kind, protocol, _, (host, *_port) = address
    found = sockets.socket(family, kind, protocol)
    if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        for option, seconds in ((sockets.TCP_KEEPIDLE, ASK_S), (sockets.TCP_KEEPINTVL, ASK_S)):
            found.setsockopt(sockets.IPPROTO_TCP, option, seconds)
        found.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_KEEPCNT, ASKS)
        found.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_USER_TIMEOUT, ASK_S * ASKS * 1000)
        found.setsockopt(sockets.SOL_SOCKET, sockets.SO_KEEPALIVE, 1)
    return found


class EndsWithConnection:
    """Lets an answer break off where its connection ends before it.

    aiohttp 3.14 tells its reader nothing of a chunk that is none, and who reads would wait for ever.
    """

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._content = answer.content
        connection = answer.connection  # None: all of it is there
        protocol = None if connection is None else connection.protocol
        self._closed = None if protocol is None else protocol.closed
        if self._closed is not None:
            self._closed.remove_done_callback(_taken)  # one of them, however many answers a connection has
            self._closed.add_done_callback(_taken)
            self._closed.add_done_callback(self._ended)
        elif protocol is not None:
            self._ended(None)

    def _ended(self, _: object) -> None:
        asyncio.get_running_loop().call_soon(self._break_off)  # what came before it is read first

    def _break_off(self) -> None:
        if not self._content.is_eof() and self._content.exception() is None:
            self._content.set_exception(aiohttp.ClientPayloadError())

    def over(self) -> None:
        """Look no more: the answer is over, and its connection may have another one."""
        if self._closed is not None:
            self._closed.remove_done_callback(self._ended)


def _taken(closed: asyncio.Future[None]) -> None:
    """Read how a connection ended, so that asyncio does not report that nobody did."""
    if not closed.cancelled():
        closed.exception()


async def piece_of(answer: aiohttp.ClientResponse) -> bytes:
    """Return what has come of an answer since the last look, all of it; b"": it is whole.

    Raises:
        ServerDiedError: it breaks off before its end.
    """
    try:
        return await answer.content.readany()
    except FAULTS as error:
        raise ServerDiedError(why(error)) from error


async def begin_of(answer: aiohttp.ClientResponse, most: int) -> tuple[bytes, bool]:
    """Return an answer as far as ``most`` bytes (a little more, as pieces come), and whether that is all of it.

    Raises:
        ServerDiedError: it breaks off before its end.
    """
    pieces: list[bytes] = []
    length = 0
    while length <= most:
        piece = await piece_of(answer)
        if not piece:
            return b"".join(pieces), True
        pieces.append(piece)
        length += len(piece)
    return b"".join(pieces), False


def why(error: BaseException) -> str:
    """Return what a fault of a server was, in words."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot be reached ({error.strerror or error.os_error})"
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return f"opens no websocket (it answered {error.status})"
    for kinds, words in _WORDS:
        if isinstance(error, kinds):
            return words
    return f"did not answer as HTTP has it ({type(error).__name__})"


async def _slices(pieces: tuple[memoryview, ...]) -> AsyncIterator[bytes]:
    for piece in pieces:
        for place in range(0, len(piece), _SLICE):
            yield bytes(piece[place : place + _SLICE])
