"""Streamed completions, many at once, timed: bytes are noted as they come and parsed by nobody here.

With parsing in between, 64 streams of 500 tokens a second would be timed by how long their neighbours are parsed. Here
a chunk costs a note of its time; sparkctl.streams parses afterwards, by h11.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import h11

from sparkctl.world.web import Raw

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CONNECT_S: Final = 5.0


class AsyncStreams:
    """Sends requests all at once and takes their answers."""

    def run(
        self, url: str, bodies: Sequence[Mapping[str, object]], *, key: str | None = None, timeout_s: float
    ) -> list[Raw]:
        """POST each body to ``url`` at the same moment and return what came, in their order.

        One that is refused, reset or not over after ``timeout_s`` seconds has an error; nothing is raised for it.
        """
        return asyncio.run(_all(url, bodies, key, timeout_s))


class _Collector(asyncio.Protocol):
    """Notes what comes and when, until the server closes."""

    def __init__(self, ended: asyncio.Future[str]) -> None:
        self.ended = ended
        self.pieces: list[tuple[float, bytes]] = []

    def data_received(self, data: bytes) -> None:
        self.pieces.append((time.perf_counter(), data))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result("" if exc is None else str(exc) or type(exc).__name__)


async def _all(url: str, bodies: Sequence[Mapping[str, object]], key: str | None, timeout_s: float) -> list[Raw]:
    """Connect for all first, so that none waits for another's connection, then send them all."""
    connected = await asyncio.gather(*(_connect(url) for _ in bodies))
    sent = [_one(line, _request(url, body, key), timeout_s) for line, body in zip(connected, bodies, strict=True)]
    return list(await asyncio.gather(*sent))


async def _connect(url: str) -> tuple[asyncio.Transport, _Collector] | Raw:
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    ended: asyncio.Future[str] = loop.create_future()
    started = time.perf_counter()
    try:
        async with asyncio.timeout(_CONNECT_S):
            return await loop.create_connection(lambda: _Collector(ended), parts.hostname or "", parts.port or 80)
    except (OSError, TimeoutError) as error:
        return Raw(started, time.perf_counter(), (), str(error) or "no connection in time")


async def _one(line: tuple[asyncio.Transport, _Collector] | Raw, request: bytes, timeout_s: float) -> Raw:
    if isinstance(line, Raw):
        return line
    transport, collector = line
    started = time.perf_counter()
    transport.write(request)
    try:
        async with asyncio.timeout(timeout_s):
            problem = await collector.ended
    except TimeoutError:
        problem = "no end in time"
        transport.abort()
    return Raw(started, time.perf_counter(), tuple(collector.pieces), problem)


def _request(url: str, body: Mapping[str, object], key: str | None) -> bytes:
    """Return a request after which the server closes the connection: that is how its end is known."""
    parts, content = urlsplit(url), json.dumps(body).encode()
    headers = [
        ("Host", parts.netloc),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(content))),
        ("Connection", "close"),
        *([("Authorization", f"Bearer {key}")] if key else []),
    ]
    connection = h11.Connection(our_role=h11.CLIENT)
    head = connection.send(h11.Request(method="POST", target=parts.path or "/", headers=headers)) or b""
    return head + (connection.send(h11.Data(data=content)) or b"") + (connection.send(h11.EndOfMessage()) or b"")
