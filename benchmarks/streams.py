"""Is `sparkctl bench` honest? A server that streams at known rates, and what the client makes of it."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import statistics
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.operations.bench.result import level
from sparkctl.vllm.streams import completion
from sparkctl.world.local.stream_client import AsyncStreams

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

RATES: Final = (5, 50, 500)
AT_ONCE: Final = (1, 8, 64)
SECONDS: Final = 2.0
FIRST_S: Final = 0.05
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
_CHUNK: Final = b'data: {"choices":[{"index":0,"text":" a"}]}\n\n'


class Honesty(NamedTuple):
    """At one rate and concurrency: how far the speeds and first tokens of the requests are off, and the client's CPU.

    What is off is taken without its sign, so that a request that is too fast does not hide one that is too slow.
    """

    rate: int
    at_once: int
    speed_off: float
    first_off_s: float
    cores: float


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request: its tokens, each at its moment since the request came."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length"))
    body = json.loads(await reader.readexactly(length))
    begin = asyncio.get_running_loop().time()
    rate, tokens = int(body["prompt"]), int(body["max_tokens"])
    writer.write(_HEAD)
    for number in range(tokens):
        await asyncio.sleep(max(0.0, begin + FIRST_S + number / rate - asyncio.get_running_loop().time()))
        writer.write(_CHUNK)
    usage = json.dumps({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": tokens}})
    writer.write(f"data: {usage}\n\ndata: [DONE]\n\n".encode())
    await writer.drain()
    writer.close()


async def _server(told: Connection) -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    told.send(server.sockets[0].getsockname()[1])
    async with server:
        await server.serve_forever()


def _run(told: Connection) -> None:
    asyncio.run(_server(told))


def honesty() -> list[Honesty]:
    """Measure every rate at every concurrency."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_run, args=(theirs,), daemon=True)
    process.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1/completions"
    try:
        return [_one(url, rate, at_once) for rate in RATES for at_once in AT_ONCE]
    finally:
        process.terminate()


def _one(url: str, rate: int, at_once: int) -> Honesty:
    tokens = max(2, round(rate * SECONDS))
    bodies = [{"prompt": str(rate), "max_tokens": tokens}] * at_once
    cpu, wall = time.process_time(), time.perf_counter()
    raw = AsyncStreams().run(url, bodies, timeout_s=60, most_bytes=64 * 1024**2)
    seconds = time.perf_counter() - wall
    found = level(at_once, [[completion(one) for one in raw]])
    cores = (time.process_time() - cpu) / seconds
    true = tokens / (FIRST_S + (tokens - 1) / rate)
    speeds = [one.tokens / one.seconds for one in found.each]
    speed_off = statistics.fmean(abs(speed / true - 1) for speed in speeds)
    return Honesty(rate, at_once, speed_off, statistics.fmean(abs(one.first_s - FIRST_S) for one in found.each), cores)
