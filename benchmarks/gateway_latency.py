"""What the gateway's door adds to a stream: CPU and latency, beside a direct connection and beside LiteLLM's proxy.

    python benchmarks/gateway_latency.py [--litellm PATH/TO/litellm] [--seconds 2] [--turns 5] [--streams 16,64]
        [--picture 32]

A server writes 100 events a second into each stream, each with the moment of its writing; a client reads them, directly
and through each proxy by turns. All of them have a process of their own. Of all turns the best counts, since other work
on the machine only adds; CPU is the median. ``litellm`` is the program of an environment in which
`pip install 'litellm[proxy]'` was done. With ``--picture MIB`` it is measured, too, while somebody else sends one body
after another with a picture of so many MiB, whose model's name is changed on its way.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import psutil

from sparkctl.cli import OBJECTS
from sparkctl.operations.gateway.loop import settle
from sparkctl.planning.gateway.body import BodyChanges, edited_pieces
from sparkctl.world.door.server import open_door
from sparkctl.world.door_ports import DoorPlace, Forward, Wait

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from sparkctl.world.door_ports import Arrival, Decision, Ended

EVENTS_A_SECOND: Final = 100
WARM_S: Final = 0.3
START_S: Final = 90.0
PATH: Final = "/v1/chat/completions"
_STAMP: Final = re.compile(rb'"content": ?"(\d+)"')
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_WITHOUT_KEY: Final = "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"
"""On the loopback, for as long as this runs."""
GOALS: Final = {16: (15.0, 0.5, 3.0), 64: (25.0, None, None)}
"""By streams: at most so many per cent of a core, and added ms at the 50th and 99th percentile."""


class Measured(NamedTuple):
    """One way through: milliseconds from the writing of an event to its reading, and CPU of the proxy in per cent."""

    p50: float
    p99: float
    cpu: float
    mib: float
    events: int
    worst: float


def _event(number: int) -> bytes:
    """Return an event of a chat of about 200 bytes, as a chunk."""
    delta = {"content": str(time.monotonic_ns())}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    said = {
        "id": f"chatcmpl-{number:08d}",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "small",
        "choices": [choice],
    }
    data = f"data: {json.dumps(said)}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


async def _stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests of one connection with streams of as many events as each asks for."""
    loop = asyncio.get_running_loop()
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            if length is None:
                break
            body = json.loads(await reader.readexactly(int(length[1])))
            writer.write(_HEAD)
            begin = loop.time()
            for number in range(body["max_tokens"]):
                await asyncio.sleep(max(0.0, begin + number / EVENTS_A_SECOND - loop.time()))
                writer.write(_event(number))
            end = b"data: [DONE]\n\n"
            writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(end), end))
    writer.close()


async def _upstream(told: Connection) -> None:
    server = await asyncio.start_server(_stream, "127.0.0.1", 0)
    told.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def _swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read requests, however long, and answer nothing that takes time."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            left = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
            while left > 0:
                piece = await reader.read(min(left, 1 << 18))
                if not piece:
                    return
                left -= len(piece)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}")
    writer.close()


async def _sink(told: Connection) -> None:
    server = await asyncio.start_server(_swallow, "127.0.0.1", 0)
    told.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def _pictures(told: Connection, port: int, mib: int) -> None:
    """Send one body after another, half a second apart; there are none of 0 MiB."""
    url = "data:image/png;base64," + "iVBORw0KGgoA" * ((mib << 20) // 12)
    message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
    body = json.dumps({"model": "pictures", "messages": [message]}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    told.send(0)
    while True:
        writer.write(head.encode())
        for place in range(0, len(body), 1 << 18):
            writer.write(body[place : place + (1 << 18)])
            await writer.drain()
        answer = await reader.readuntil(b"{}")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise ValueError(answer)
        await asyncio.sleep(0.5)


class _Through:
    """A handler that sends everything to one server, and what has pictures to another, with another name in it."""

    def __init__(self, url: str, pictures: str) -> None:
        self._forward = Forward(url)
        self._pictures = Forward(pictures)

    async def arrive(self, arrival: Arrival) -> Decision:
        return Wait(self._changed(arrival)) if arrival.model == "pictures" else self._forward

    async def _changed(self, arrival: Arrival) -> Decision:
        pieces = await asyncio.to_thread(edited_pieces, arrival.body, BodyChanges("served", {"top_k": 5}))
        return self._pictures._replace(body=pieces)

    def first_byte(self, request: str, status: int, piece: bytes) -> None:
        """Take no note."""

    def rests(self, request: str, *, rests: bool) -> None:
        """Take no note."""

    def ended(self, request: str, ended: Ended) -> None:
        """Take no note."""


async def _door(told: Connection, url: str, pictures: str) -> None:
    door = await open_door(DoorPlace("127.0.0.1", 0), _Through(url, pictures))
    settle()
    told.send(int(door.url.rpartition(":")[2]))
    await asyncio.Event().wait()


def _run_upstream(told: Connection) -> None:
    asyncio.run(_upstream(told))


def _run_door(told: Connection, url: str, pictures: str) -> None:
    gc.set_threshold(OBJECTS)  # as every command does
    asyncio.run(_door(told, url, pictures))


def _run_sink(told: Connection) -> None:
    asyncio.run(_sink(told))


def _run_pictures(told: Connection, port: int, mib: int) -> None:
    asyncio.run(_pictures(told, port, mib))


@contextmanager
def _process(run: object, *given: object) -> Iterator[tuple[int, int]]:
    """Run something that listens, and yield its port and its process."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=run, args=(theirs, *given), daemon=True)  # type: ignore[arg-type]
    process.start()
    try:
        yield ours.recv(), process.pid or 0
    finally:
        process.terminate()
        process.join()


@contextmanager
def _litellm(program: str, url: str) -> Iterator[tuple[int, int]]:
    """Run LiteLLM's proxy before a server, and yield its port and its process."""
    port = 18_473
    model = {"model": "openai/small", "api_base": f"{url}/v1", "api_key": "none"}
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(json.dumps({"model_list": [{"model_name": "small", "litellm_params": model}]}))
        told = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", _WITHOUT_KEY: "true"}
        command = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(
            command, env={**os.environ, **told}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            asyncio.run(_listens(port))
            yield port, process.pid
        finally:
            process.terminate()
            process.wait()


async def _listens(port: int) -> None:
    """Wait until something answers a request whole."""
    async with asyncio.timeout(START_S):
        while True:
            with suppress(OSError, asyncio.IncompleteReadError, IndexError):
                if await _read(port, 1):
                    return
            await asyncio.sleep(0.5)


async def _read(port: int, events: int) -> list[int]:
    """Ask for a stream, and return for each event the nanoseconds from its writing to its reading."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asked = {"model": "small", "stream": True, "max_tokens": events, "messages": [{"role": "user", "content": "a"}]}
    body = json.dumps(asked).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    delays: list[int] = []
    try:
        while True:
            piece = await reader.read(65_536)
            now = time.monotonic_ns()
            delays += [now - int(stamp) for stamp in _STAMP.findall(piece)]
            if not piece or b"[DONE]" in piece:
                return delays
    finally:
        writer.close()


async def _all(port: int, streams: int, seconds: float) -> list[int]:
    found = await asyncio.gather(*(_read(port, int(seconds * EVENTS_A_SECOND)) for _ in range(streams)))
    return [delay for one in found for delay in one]


def measure(port: int, pid: int, streams: int, seconds: float) -> Measured:
    """Read so many streams at once, and say what each event took and what the process computed meanwhile."""
    asyncio.run(_all(port, streams, WARM_S))
    process = psutil.Process(pid)
    before, began = process.cpu_times(), time.monotonic()
    delays = sorted(asyncio.run(_all(port, streams, seconds)))
    after, took = process.cpu_times(), time.monotonic() - began
    computed = after.user + after.system - before.user - before.system
    last = delays[int(len(delays) * 0.99)] / 1e6
    mib = process.memory_info().rss / 2**20
    return Measured(statistics.median(delays) / 1e6, last, 100 * computed / took, mib, len(delays), delays[-1] / 1e6)


def main() -> None:
    """Measure each way at each number of streams, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--litellm", default="")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--streams", default="16,64")
    parser.add_argument("--picture", type=int, default=0)
    given = parser.parse_args()
    with ExitStack() as stack:
        port, pid = stack.enter_context(_process(_run_upstream))
        url = f"http://127.0.0.1:{port}"
        sink = f"http://127.0.0.1:{stack.enter_context(_process(_run_sink))[0]}"
        ways = {"direct": (port, pid), "sparkctl": stack.enter_context(_process(_run_door, url, sink))}
        if given.litellm:
            ways["litellm"] = stack.enter_context(_litellm(given.litellm, url))
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        for streams in (int(one) for one in given.streams.split(",")):
            turns: dict[str, list[Measured]] = {name: [] for name in ways}
            for _ in range(given.turns):
                for name, (at, of) in ways.items():
                    turns[name].append(measure(at, of, streams, given.seconds))
            best = {name: _best(found) for name, found in turns.items()}
            for name, found in best.items():
                print(_row(name, streams, found, best["direct"], given.turns * given.seconds))
            if given.picture:
                at, of = ways["sparkctl"]
                with _process(_run_pictures, at, given.picture):
                    found = _best([measure(at, of, streams, given.seconds) for _ in range(given.turns)])
                print(_row("+ pictures", streams, found, best["direct"], given.turns * given.seconds))


def _best(turns: list[Measured]) -> Measured:
    return Measured(
        min(one.p50 for one in turns),
        min(one.p99 for one in turns),
        statistics.median(one.cpu for one in turns),
        turns[-1].mib,
        sum(one.events for one in turns),
        min(one.worst for one in turns),
    )


def _row(name: str, streams: int, found: Measured, direct: Measured, seconds: float) -> str:
    added = (found.p50 - direct.p50, found.p99 - direct.p99)
    lost = int(streams * seconds * EVENTS_A_SECOND) - found.events
    row = f"{streams:4} streams  {name:10} CPU {found.cpu:6.1f} %  p50 +{added[0]:.2f} ms  p99 +{added[1]:.2f} ms"
    row += f"  worst {found.worst:.0f} ms"
    row += f"  {found.mib:6.0f} MiB  {lost} events lost"
    most, p50, p99 = GOALS.get(streams, (None, None, None))
    if name == "sparkctl" and most is not None:
        well = found.cpu <= most and (p50 is None or added[0] <= p50) and (p99 is None or added[1] <= p99)
        row += "  ok" if well else "  MISSED"
    return row


if __name__ == "__main__":
    main()
