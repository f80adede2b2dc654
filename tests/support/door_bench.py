"""A door on the loopback with a scripted handler before it and a scripted server behind it.

The server is a plain asyncio one, so that it can do what no HTTP library would: lie about lengths, reset, say nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from sparkctl.world.door.server import HttpDoor, open_door
from sparkctl.world.door_ports import Arrival, Bounds, Decision, DoorPlace, Ended, Forward, Pages

if TYPE_CHECKING:
    import ssl

SOON_S = 5.0
"""How long a test waits for what must happen at once."""
_PAUSE_S = 0.005
CHAT = "/v1/chat/completions"
HELLO = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}


@dataclass
class Seen:
    """A request as the server got it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the connection that it came on is closed by the other side."""


Script: TypeAlias = Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes, *, status: str = "200 OK", kind: str = "application/json", length: int | None = None) -> bytes:
    """Return a whole answer, with a length of it that may be wrong."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body) if length is None else length}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
LAST = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Return one chunk of a stream."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(value: object) -> bytes:
    """Return an event of a stream, in a chunk of its own."""
    return chunk(b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n")


async def says(writer: asyncio.StreamWriter, *pieces: bytes) -> None:
    """Write pieces, each with a turn of the loop after it, so that each is read by itself."""
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)


async def plain(seen: Seen, writer: asyncio.StreamWriter) -> None:
    """Answer with the name that the request has."""
    await says(writer, answer(json.dumps({"id": "chatcmpl-1", "path": seen.path}).encode()))


def always(*pieces: bytes) -> Script:
    """Return a script that says the same to everything."""

    async def script(_: Seen, writer: asyncio.StreamWriter) -> None:
        await says(writer, *pieces)

    return script


class ScriptedServer:
    """A server that does what its script says, once a connection."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.seen: list[Seen] = []
        self.asked = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            seen = Seen(method, path, headers, body)
            self.seen.append(seen)
            self.asked.set()
            watch = asyncio.ensure_future(self._watch(reader, seen))
            try:
                await self.script(seen, writer)
            except ConnectionError:
                seen.gone.set()
            finally:
                watch.cancel()

    async def _watch(self, reader: asyncio.StreamReader, seen: Seen) -> None:
        """Wait until the door closes: it sends nothing after a request on a connection that is not kept."""
        try:
            if not await reader.read(1):
                seen.gone.set()
        except ConnectionError:
            seen.gone.set()


class ScriptedHandler:
    """A handler that decides as it is told, and keeps what it was told."""

    def __init__(self, decide: Callable[[Arrival], Decision]) -> None:
        self.decide = decide
        self.arrived: list[Arrival] = []
        self.firsts: list[tuple[str, int, bytes]] = []
        self.ends: dict[str, Ended] = {}
        self.rested: list[bool] = []
        self._told = asyncio.Event()

    async def arrive(self, arrival: Arrival) -> Decision:
        self.arrived.append(arrival)
        return self.decide(arrival)

    def first_byte(self, request: str, status: int, piece: bytes) -> None:
        self.firsts.append((request, status, piece))

    def rests(self, request: str, *, rests: bool) -> None:
        self.rested.append(rests)

    def ended(self, request: str, ended: Ended) -> None:
        assert request not in self.ends, "told twice of one end"
        self.ends[request] = ended
        self._told.set()

    async def end(self, number: int = 0) -> Ended:
        """Return how a request ended, when it has."""
        async with asyncio.timeout(SOON_S):
            while len(self.arrived) <= number or self.arrived[number].id not in self.ends:
                self._told.clear()
                await self._told.wait()
        return self.ends[self.arrived[number].id]


@dataclass
class Got:
    """An answer as a client got it: ``whole`` False: the connection broke before its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool

    @property
    def json(self) -> Mapping[str, object]:
        value: Mapping[str, object] = json.loads(self.body)
        return value

    @property
    def error(self) -> Mapping[str, object]:
        value = self.json["error"]
        assert isinstance(value, dict)
        return value


@dataclass
class DoorBench:
    """The three of them, and a client that writes bytes."""

    door: HttpDoor
    handler: ScriptedHandler
    server: ScriptedServer
    port: int
    server_url: str

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def raw(self, sent: bytes) -> Got:
        """Send bytes and return the answer to them; the connection is closed afterwards."""
        reader, writer = await self.connect()
        try:
            writer.write(sent)
            async with asyncio.timeout(SOON_S):
                return await got(reader)
        finally:
            writer.close()

    async def post(
        self, path: str, body: bytes | object, headers: Mapping[str, str] | None = None, *, method: str = "POST"
    ) -> Got:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.raw(request(path, data, headers, method=method))

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Got:
        return await self.raw(request(path, None, headers, method="GET"))


def request(path: str, body: bytes | None, headers: Mapping[str, str] | None = None, *, method: str = "POST") -> bytes:
    """Return a request's bytes."""
    told = {"Host": "127.0.0.1"}
    if body is not None:
        told |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    told |= headers or {}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


async def got(reader: asyncio.StreamReader) -> Got:
    """Read one answer, by its length, its chunks, or until the connection ends."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
    status = int(lines[0].split(" ")[1])
    body, whole = b"", True
    try:
        if headers.get("transfer-encoding") == "chunked":
            while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        else:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
    except asyncio.IncompleteReadError as error:
        body, whole = body + error.partial, False
    except ConnectionError:
        whole = False
    return Got(status, headers, body, whole)


async def soon(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds, which must be soon."""
    for _ in range(int(SOON_S / _PAUSE_S)):
        if await holds():
            return
        await asyncio.sleep(_PAUSE_S)
    raise AssertionError("it does not hold, and had time enough to")


@asynccontextmanager
async def bench(
    script: Script = plain,
    decide: Callable[[Arrival, str], Decision] | None = None,
    bounds: Bounds | None = None,
    pages: Pages | None = None,
    encrypted: ssl.SSLContext | None = None,
) -> AsyncIterator[DoorBench]:
    """Open a door; ``decide`` is given the URL of the scripted server, to which everything goes without it."""
    server = ScriptedServer(script)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=encrypted)
    url = f"http{'s' if encrypted is not None else ''}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    handler = ScriptedHandler(lambda arrival: decide(arrival, url) if decide is not None else Forward(url))
    door = await open_door(DoorPlace("127.0.0.1", 0), handler, pages, bounds)
    try:
        yield DoorBench(door, handler, server, int(door.url.rpartition(":")[2]), url)
    finally:
        await door.close(0)
        listening.close()
