"""Answers on their way: as they come, broken off where the server breaks off, given up where nobody is there."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from typing import TYPE_CHECKING

import pytest

from sparkctl.world.door_ports import Bounds, Forward, Refuse, Wait
from tests.support.door_bench import (
    CHAT,
    HELLO,
    LAST,
    SOON_S,
    STREAM,
    DoorBench,
    Seen,
    always,
    answer,
    bench,
    chunk,
    event,
    request,
    says,
    soon,
)
from tests.support.thorough import examples

if TYPE_CHECKING:
    from sparkctl.world.door_ports import Arrival, Decision

STREAMED = json.dumps({**HELLO, "stream": True}).encode()


async def begun(door: DoorBench, path: str = CHAT) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for a stream, and return the connection."""
    reader, writer = await door.connect()
    writer.write(request(path, STREAMED))
    await writer.drain()
    return reader, writer


def test_each_event_is_sent_when_it_comes_s17() -> None:
    go_on = asyncio.Event()

    async def script(_: Seen, writer: asyncio.StreamWriter) -> None:
        await says(writer, STREAM, event({"n": 1}))
        await go_on.wait()
        await says(writer, event({"n": 2}), event(b"[DONE]"), LAST)

    async def run() -> None:
        async with bench(script) as door, asyncio.timeout(SOON_S):
            reader, writer = await begun(door)
            head = await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(19) == b'10\r\ndata: {"n": 1}\n\n\r\n'[:19]
            assert b"X-Accel-Buffering: no" in head
            assert b"Cache-Control: no-cache" in head
            go_on.set()
            assert (await reader.readuntil(LAST)).endswith(b"data: [DONE]\n\n\r\n" + LAST)
            assert (await door.handler.end()).status == 200
            assert door.handler.firsts[0][2] == b'data: {"n": 1}\n\n'
            writer.close()

    asyncio.run(run())


@pytest.mark.parametrize("when", ["before the first byte", "in the stream"])
def test_a_client_that_leaves_ends_the_work_at_once_s5(when: str) -> None:
    async def script(seen: Seen, writer: asyncio.StreamWriter) -> None:
        if when == "in the stream":
            await says(writer, STREAM, event({"n": 1}))
        await seen.gone.wait()

    async def run() -> None:
        async with bench(script) as door, asyncio.timeout(SOON_S):
            reader, writer = await begun(door)
            await door.server.asked.wait()
            if when == "in the stream":
                await reader.readuntil(b"\n\n")
            writer.close()
            await door.server.seen[0].gone.wait()
            end = await door.handler.end()
            assert (end.how, end.status) == ("left", 499)

    asyncio.run(run())


@pytest.mark.parametrize("length", [None, 1000])
def test_a_server_that_dies_before_its_first_byte_is_a_502(length: int | None) -> None:
    head = STREAM if length is None else answer(b"", length=length)

    async def run() -> None:
        for script in (always(), always(head), always(b"HTTP/1.1 200 "), always(b"GARBAGE\r\n\r\n"), reset):
            async with bench(script) as door:
                got_ = await door.post(CHAT, STREAMED)
                assert (got_.status, got_.error["code"]) == (502, "server_died")
                assert "'small'" in str(got_.error["message"])
                assert (await door.handler.end()).how == "died"

    asyncio.run(run())


async def reset(_: Seen, writer: asyncio.StreamWriter) -> None:
    """End the connection with a reset, as a process that is killed does with what it has not read."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    writer.transport.abort()


def test_a_server_that_is_not_there_is_a_502() -> None:
    async def run() -> None:
        async with bench(decide=lambda *_: Forward("http://127.0.0.1:1")) as door:
            assert "cannot be reached" in str((await door.post(CHAT, HELLO)).error["message"])

    asyncio.run(run())


def test_the_handler_is_asked_about_a_server_that_gave_nothing_and_knows_whether_anything_was_sent() -> None:
    async def run() -> None:
        for there in (False, True):
            told: list[bool] = []

            async def lost(unsent: bool, words: str, told: list[bool] = told) -> Decision:
                told.append(unsent)
                assert words
                return Refuse(503, "paused", "ada stopped it", should_retry=False)

            def decide(_: Arrival, url: str, there: bool = there, lost: object = lost) -> Decision:
                return Forward(url if there else "http://127.0.0.1:1", lost=lost)  # type: ignore[arg-type]

            async with bench(always(), decide=decide) as door:
                found = await door.post(CHAT, HELLO)
                assert (found.status, found.error["code"], told) == (503, "paused", [not there])

    asyncio.run(run())


def test_chunks_that_are_none_break_the_answer_off_also_after_what_was_read() -> None:
    go_on = asyncio.Event()

    async def script(_: Seen, writer: asyncio.StreamWriter) -> None:
        await says(writer, STREAM, event({"n": 1}))
        await go_on.wait()
        await says(writer, b"zz\r\nno length\r\n")

    async def run() -> None:
        async with bench(script) as door, asyncio.timeout(SOON_S):
            reader, writer = await begun(door)
            await door.server.asked.wait()
            await reader.readuntil(b'{"n": 1}\n\n')
            go_on.set()
            end = await door.handler.end()
            assert (end.how, end.status) == ("died", 502)
            rest = await reader.read()
            assert b"broke off before the end of its answer" in rest
            assert not rest.endswith(LAST)
            writer.close()

    asyncio.run(run())


@pytest.mark.parametrize("path", [CHAT, "/v1/messages"])
@pytest.mark.parametrize("half", [False, True])
def test_a_stream_that_breaks_off_says_so_and_never_ends_cleanly_s23(path: str, half: bool) -> None:
    """A stream that ends cleanly without [DONE] counts as a complete answer for the official clients."""

    async def script(_: Seen, writer: asyncio.StreamWriter) -> None:
        await says(writer, STREAM, event({"n": 1}), *([chunk(b'data: {"n": ')] if half else []))

    async def run() -> None:
        async with bench(script) as door:
            got_ = await door.post(path, STREAMED)
            assert (got_.status, got_.whole) == (200, False)
            _, _, last = got_.body.partition(b'data: {"n": 1}\n\n')
            if half:  # what is said after half an event would be the rest of it, which no client could read
                assert last == b'data: {"n": '
            else:
                assert last.startswith(b"event: error\n" if path == "/v1/messages" else b'data: {"error": ')
            end = await door.handler.end()
            assert (end.how, end.status) == ("died", 502)

    asyncio.run(run())


def test_a_whole_answer_that_is_shorter_than_its_length_is_broken_off() -> None:
    async def run() -> None:
        async with bench(always(answer(b'{"a": 1', length=100))) as door:
            got_ = await door.post(CHAT, HELLO)
            assert (got_.status, got_.whole, got_.body) == (200, False, b'{"a": 1')
            assert (await door.handler.end()).how == "died"

    asyncio.run(run())


@pytest.mark.parametrize("kept", [False, True])
def test_what_a_server_sends_after_its_length_is_no_part_of_any_answer(kept: bool) -> None:
    evil = answer(b"evil")
    said = (answer(b"{}").replace(b"Connection: close\r\n", b"") if kept else answer(b"{}")) + evil

    async def run() -> None:
        async with bench(always(said)) as door:
            for _ in range(2):
                got_ = await door.post(CHAT, HELLO)
                assert (got_.status, got_.body) == (200, b"{}") if kept else got_.status in {200, 502}
                assert b"evil" not in got_.body

    asyncio.run(run())


def test_a_line_of_ten_million_bytes_goes_through() -> None:
    line = b"data: " + b"x" * 10_000_000 + b"\n\n"

    async def run() -> None:
        async with bench(always(STREAM, chunk(line), LAST)) as door:
            got_ = await door.post(CHAT, STREAMED)
            assert (got_.body, got_.whole) == (line, True)

    asyncio.run(run())


def test_an_answer_that_is_packed_goes_on_as_it_is() -> None:
    body = b"\x1f\x8b no gzip at all"
    script = always(answer(body).replace(b"Connection", b"Content-Encoding: gzip\r\nConnection"))

    async def run() -> None:
        async with bench(script) as door:
            got_ = await door.post(CHAT, HELLO, {"Accept-Encoding": "gzip"})
            assert (got_.body, got_.headers["content-encoding"]) == (body, "gzip")

    asyncio.run(run())


def test_a_client_that_never_reads_stops_the_server_and_is_let_go() -> None:
    """What is held for it is bounded: the server is not read any more, and so stops writing."""
    written = 0

    async def script(seen: Seen, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.transport.set_write_buffer_limits(0)
        writer.write(STREAM)
        piece = chunk(b"x" * 65_536)
        while not seen.gone.is_set():
            writer.write(piece)
            await writer.drain()
            written += len(piece)

    async def run() -> None:
        async with bench(script, bounds=Bounds(unread_s=0.4)) as door:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", door.port))
            await asyncio.get_running_loop().sock_sendall(sock, request(CHAT, STREAMED))
            end = await door.handler.end()
            assert (end.how, end.status) == ("left", 499)
            assert written < 24 << 20, "more than the buffers of two sockets"
            sock.close()

    asyncio.run(run())


def test_a_request_can_be_broken_off_from_within() -> None:
    async def script(seen: Seen, writer: asyncio.StreamWriter) -> None:
        await says(writer, STREAM, event({"n": 1}))
        await seen.gone.wait()

    async def run() -> None:
        async with bench(script) as door, asyncio.timeout(SOON_S):
            reader, writer = await begun(door)
            await reader.readuntil(b"\n\n")
            assert door.door.cancel(door.handler.arrived[0].id)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await reader.readuntil(LAST)
            await door.server.seen[0].gone.wait()
            end = await door.handler.end()
            assert (end.how, end.words) == ("cancelled", "broken off by the gateway")
            assert not door.door.cancel(door.handler.arrived[0].id)
            writer.close()

    asyncio.run(run())


def test_a_door_that_closes_lets_answers_end_for_a_while() -> None:
    go_on = asyncio.Event()

    async def script(_: Seen, writer: asyncio.StreamWriter) -> None:
        await says(writer, STREAM, event({"n": 1}))
        await go_on.wait()
        await says(writer, LAST)

    async def run() -> None:
        async with bench(script) as door, asyncio.timeout(SOON_S):
            reader, writer = await begun(door)
            await reader.readuntil(b"\n\n")
            closing = asyncio.ensure_future(door.door.close(SOON_S))
            await asyncio.sleep(0)
            go_on.set()
            await reader.readuntil(LAST)
            await closing
            assert (await door.handler.end()).how == "done"
            with pytest.raises(ConnectionError):
                await door.connect()
            writer.close()

    asyncio.run(run())


# --- held ------------------------------------------------------------------------------------------------------------


class Held:
    """What a wait is told, and when it is decided."""

    def __init__(self) -> None:
        self.decided: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self.words = "starting small,\r\nloading weights 3/7"

    def decide(self, arrival: Arrival, url: str) -> Decision:
        self.url = url
        return Wait(self.decided, (lambda: self.words) if arrival.wishes.get("x-sparkctl-comments") != "off" else None)


QUICK = Bounds(quiet_s=0.02, comment_s=0.02)


def test_a_stream_that_waits_hears_of_it_and_then_has_the_servers_bytes() -> None:
    async def run() -> None:
        held = Held()
        async with (
            bench(always(STREAM, event({"n": 1}), event(b"[DONE]"), LAST), decide=held.decide, bounds=QUICK) as door,
            asyncio.timeout(SOON_S),
        ):
            reader, writer = await begun(door)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            await reader.readuntil(b": starting small, loading weights 3/7\n\n")
            held.words = "loading weights 4/7"
            await reader.readuntil(b": loading weights 4/7\n\n")
            held.decided.set_result(Forward(held.url))
            assert (await reader.readuntil(b'data: {"n": 1}\n\n')).count(b"HTTP/1.1") == 0
            await reader.readuntil(LAST)
            assert (await door.handler.end()).how == "done"
            writer.close()

    asyncio.run(run())


@pytest.mark.parametrize("after", ["refused", "the server refuses", "server gone"])
def test_after_a_comment_a_failure_is_an_event_and_a_broken_connection(after: str) -> None:
    async def run() -> None:
        held = Held()
        script = always(answer(b'{"error": {"message": "it is too long"}}', status="400 Bad Request"))
        async with bench(script, decide=held.decide, bounds=QUICK) as door, asyncio.timeout(SOON_S):
            reader, writer = await begun(door)
            await reader.readuntil(b"loading weights 3/7\n\n")
            held.decided.set_result(
                {
                    "refused": Refuse(503, "start_failed", "it is too long"),
                    "the server refuses": Forward(held.url),
                    "server gone": Forward("http://127.0.0.1:1"),
                }[after]
            )
            rest = await reader.read()
            assert not rest.endswith(LAST)
            last = json.loads(re.findall(rb"data: (.*)\n\n", rest)[-1])
            assert ("cannot be reached" if after == "server gone" else "it is too long") in last["error"]["message"]
            assert (await door.handler.end()).status == {"refused": 503, "the server refuses": 400}.get(after, 502)
            writer.close()

    asyncio.run(run())


@pytest.mark.parametrize("asks", [{}, {"stream": True}])
def test_without_a_stream_or_without_comments_the_status_stays_open(asks: dict[str, bool]) -> None:
    async def run() -> None:
        held = Held()
        async with bench(decide=held.decide, bounds=QUICK) as door, asyncio.timeout(SOON_S):
            told = {"X-Sparkctl-Comments": "off"} if asks else {}
            asked = asyncio.ensure_future(door.post(CHAT, {**HELLO, **asks}, told))
            await asyncio.sleep(0.1)
            assert not asked.done()
            held.decided.set_result(Refuse(503, "starting", "about 90 s", retry_after_s=90))
            assert ((await asked).status, (await asked).headers["retry-after"]) == (503, "90")

    asyncio.run(run())


def test_a_waiter_that_leaves_is_told_of() -> None:
    async def run() -> None:
        held = Held()
        async with bench(decide=held.decide, bounds=QUICK) as door, asyncio.timeout(SOON_S):
            _, writer = await begun(door)
            await soon(lambda: arrived(door))
            writer.close()
            assert (await door.handler.end()).how == "left"
            assert held.decided.cancelled()
            assert not door.server.seen

    async def arrived(door: DoorBench) -> bool:
        return bool(door.handler.arrived)

    asyncio.run(run())


def test_five_hundred_clients_at_once_all_have_their_answer() -> None:
    """Every one of them has a connection of its own, on this side and to the server."""
    clients = examples(500)

    async def run() -> None:
        async with bench(always(STREAM, event({"n": 1}), event(b"[DONE]"), LAST)) as door, asyncio.timeout(30):
            answers = await asyncio.gather(*(door.post(CHAT, STREAMED) for _ in range(clients)))
            assert {(one.status, one.whole, one.body[-14:]) for one in answers} == {(200, True, b"data: [DONE]\n\n")}
            assert len(door.handler.ends) == clients

    asyncio.run(run())
