"""Streamed completions, many at once, timed: bytes are noted as they come and parsed by nobody here.

With parsing in between, 64 streams of 500 tokens a second would be timed by how long their neighbours are parsed. Here
a chunk costs a note of its time; sparkctl.vllm.streams parses afterwards, by h11.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import EngineError, InputError
from sparkctl.world.local import encrypted
from sparkctl.world.local.http_client import spelled
from sparkctl.world.web import Raw

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sparkctl.world.local.http_client import Spelled

_CONNECT_S: Final = 5.0


class AsyncStreams:
    """Sends requests all at once and takes their answers.

    ``certificate``: the file with the certificate that an encrypted server has to show (None: any).
    ``forwarded``: what returns a UNIX socket that leads to an address (EngineError: none does), where servers are
    another host's. What comes through it is timed as it comes here: the way there and back is in the times.
    """

    def __init__(self, certificate: str | None = None, forwarded: Callable[[str, int], Path] | None = None) -> None:
        self._certificate = certificate
        self._forwarded = forwarded

    def trusting(self, certificate: str) -> AsyncStreams:
        """Return the same for a server that has to show the certificate in this file."""
        return AsyncStreams(certificate, self._forwarded)

    def run(
        self,
        url: str,
        bodies: Sequence[Mapping[str, object]],
        *,
        key: str | None = None,
        timeout_s: float,
        most_bytes: int,
    ) -> list[Raw]:
        """POST each body to ``url`` at the same moment and return what came, in their order.

        One that is refused, reset, not over after ``timeout_s`` seconds or longer than ``most_bytes`` has an error;
        nothing is raised for it.
        """
        try:
            requests = [spelled("POST", url, body, key) for body in bodies]
            through = self._through(requests)
        except (InputError, EngineError) as error:
            now = time.perf_counter()
            return [Raw(now, now, (), error.message) for _ in bodies]
        return asyncio.run(_all(requests, timeout_s, most_bytes, _StreamWay(self._certificate, through)))

    def _through(self, requests: Sequence[Spelled]) -> Path | None:
        """Return the socket that leads to the server, which all requests have; it is made before anything is timed."""
        if self._forwarded is None or not requests:
            return None
        return self._forwarded(requests[0].host, requests[0].port)


class _StreamWay(NamedTuple):
    """How the server is reached: the certificate that it has to show, and the socket that leads there."""

    certificate: str | None
    through: Path | None


class _Collector(asyncio.Protocol):
    """Notes what comes and when, until the server closes or has sent too much."""

    def __init__(self, ended: asyncio.Future[str], most_bytes: int) -> None:
        self.ended = ended
        self.pieces: list[tuple[float, bytes]] = []
        self._left = most_bytes

    def data_received(self, data: bytes) -> None:
        self.pieces.append((time.perf_counter(), data))
        self._left -= len(data)
        if self._left < 0:
            self._end("the answer is longer than so many tokens can be")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("" if exc is None else str(exc) or type(exc).__name__)

    def _end(self, problem: str) -> None:
        if not self.ended.done():
            self.ended.set_result(problem)


async def _all(requests: Sequence[Spelled], timeout_s: float, most_bytes: int, way: _StreamWay) -> list[Raw]:
    """Connect for all first, so that none waits for another's connection, then send them all."""
    connected = await asyncio.gather(*(_connect(request, most_bytes, way) for request in requests))
    sent = [_one(line, request.content, timeout_s) for line, request in zip(connected, requests, strict=True)]
    return list(await asyncio.gather(*sent))


async def _connect(request: Spelled, most_bytes: int, way: _StreamWay) -> tuple[asyncio.Transport, _Collector] | Raw:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[str] = loop.create_future()
    started = time.perf_counter()
    try:
        async with asyncio.timeout(_CONNECT_S):
            secure = encrypted.context() if request.encrypted else None
            made = lambda: _Collector(ended, most_bytes)  # noqa: E731  (a factory, as the loop wants one)
            if way.through is None:
                line, collector = await loop.create_connection(made, request.host, request.port, ssl=secure)
            else:
                named = request.host if secure is not None else None  # asyncio wants the name that TLS is spoken with
                line, collector = await loop.create_unix_connection(
                    made, str(way.through), ssl=secure, server_hostname=named
                )
    except (OSError, ValueError) as error:  # the second for a host name that is none
        return Raw(started, time.perf_counter(), (), str(error) or "no connection in time")
    if secure is not None:
        shown = line.get_extra_info("ssl_object").getpeercert(binary_form=True)
        try:
            encrypted.refuse_another(shown, way.certificate)
        except InputError as error:
            line.abort()
            return Raw(started, time.perf_counter(), (), error.message)
    return line, collector


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
