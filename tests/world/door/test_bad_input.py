"""What clients send that is wrong, slow, long or meant to do harm."""

from __future__ import annotations

import asyncio
import json

import pytest

from sparkctl.world.door_ports import Bounds
from tests.support.door_bench import CHAT, HELLO, SOON_S, bench, got, request, soon


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "the body is empty"),
        (b"{", 400, "line 1, column 2"),
        (b'{"model": "a",\n "b": }', 400, "line 2, column 7"),
        (b"[1]", 400, "expected a JSON object, found a list"),
        (b'{"messages": []}', 400, "model: missing"),
        (b'{"model": 7}', 400, "model: expected a name, found a number"),
        (b'{"model": null}', 400, "found null"),
        (b'{"model": ""}', 400, "an empty text"),
        (b'{"model": "' + b"a" * 100_000 + b'"}', 400, "at most 1000 characters, found one of 100,000"),
        (b'{"model": "a", "model": "b"}', 400, "model: given twice"),
        (b'{"model": "a", "x": ["}"], "\\u006dod\\u0065l": "b"}', 400, "model: given twice"),
        (b'{"model": "a", "x": NaN}', 400, "NaN"),
        (b'{"model": "\xff"}', 400, "no UTF-8 (byte 11)"),
        (b"[" * 100_000, 400, "nested deeper"),
        (b'{"model": "a", "x": ' + b"[" * 300 + b"]" * 300 + b"}", 400, "nested deeper"),
        (b'{"model": "a", "n": ' + b"9" * 5000 + b"}", 400, "a number of 5,000 characters"),
    ],
)
def test_a_body_that_is_none_is_refused_with_its_place(body: bytes, status: int, said: str) -> None:
    async def run() -> None:
        async with bench() as door:
            answer = await door.post(CHAT, body)
            assert answer.status == status
            assert said in str(answer.error["message"])
            assert not door.handler.arrived

    asyncio.run(run())


def test_a_tool_may_have_a_model_of_its_own() -> None:
    tools = [{"function": {"parameters": {"properties": {"model": {"type": "string", "model": "}"}}}}}]
    body = {**HELLO, "tools": tools, "metadata": {"model": "a"}}

    async def run() -> None:
        async with bench() as door:
            assert (await door.post(CHAT, body)).status == 200
            assert door.handler.arrived[0].model == "small"

    asyncio.run(run())


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused_with_the_limit(chunked: bool) -> None:
    data = json.dumps({"model": "a", "pad": "x" * 200_000}).encode()

    async def run() -> None:
        async with bench(bounds=Bounds(body_bytes=100_000)) as door:
            if chunked:
                head = request(CHAT, None, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
                answer = await door.raw(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))
            else:
                answer = await door.post(CHAT, data)
            assert answer.status == 413
            assert "100,000 bytes" in str(answer.error["message"])
            assert not door.server.seen

    asyncio.run(run())


def test_the_usual_limit_is_64_mib() -> None:
    head = request(CHAT, None, {"Content-Type": "application/json", "Content-Length": str((64 << 20) + 1)})

    async def run() -> None:
        async with bench() as door:
            assert "(64 MiB)" in str((await door.raw(head)).error["message"])

    asyncio.run(run())


def test_all_bodies_together_have_a_limit() -> None:
    head = request(CHAT, None, {"Content-Type": "application/json", "Content-Length": "90000"})

    async def run() -> None:
        async with bench(bounds=Bounds(bodies_bytes=100_000)) as door:

            async def refused(status: int, body: bytes) -> bool:
                answer = await door.post(CHAT, body)
                return answer.status == status and (status != 503 or answer.headers["retry-after"] == "5")

            reader, writer = await door.connect()
            writer.write(head + b" " * 80_000)
            await writer.drain()
            await soon(lambda: refused(503, b" " * 30_000))
            writer.close()
            await soon(lambda: refused(200, json.dumps(HELLO).encode()))
            assert reader

    asyncio.run(run())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        (b"Content-Length: +5\r\n", 400),
        (b"Content-Length: 5, 5\r\n", 400),
        (b"Transfer-Encoding: xchunked\r\n", 400),
        (b"Transfer-Encoding: chunked, identity\r\n", 400),
        (b"Content-Length : 5\r\n", 400),
        (b"X-A: a\nX-B: b\r\n", 400),
        (b"X-A: a\rb\r\n", 400),
        (b"X-A: a\x00b\r\n", 400),
        (b"X-A: " + b"a" * 10_000 + b"\r\n", 400),
        (b"".join(b"X-%d: a\r\n" % number for number in range(300)), 400),
        (b"Content-Encoding: gzip\r\nContent-Length: 5\r\n", 415),
        (b"Expect: the-unexpected\r\nContent-Length: 5\r\n", 417),
    ],
)
def test_a_head_that_can_be_read_in_two_ways_is_not_read_at_all(sent: bytes, status: int) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    smuggled = b"\r\n0\r\n\r\nPOST /v1/completions HTTP/1.1\r\nHost: a\r\n\r\n"

    async def run() -> None:
        async with bench() as door:
            reader, writer = await door.connect()
            writer.write(head + sent + smuggled)
            async with asyncio.timeout(SOON_S):
                answer = await got(reader)
                rest = await reader.read()
            assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
            assert not rest, "the connection ends with it, so that nothing after it is read as a request"
            assert not door.server.seen
            assert not door.handler.arrived
            writer.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"GARBAGE\r\n\r\n", b"\r\n\r\n\x00"]
)
def test_what_is_no_http_is_answered_in_json(sent: bytes) -> None:
    async def run() -> None:
        async with bench() as door:
            answer = await door.raw(sent)
            assert (answer.status, answer.error["code"]) == (400, "bad_http")

    asyncio.run(run())


def test_broken_chunks_are_refused() -> None:
    head = request(CHAT, None, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})

    async def run() -> None:
        async with bench() as door:
            assert (await door.raw(head + b"zz\r\nabc\r\n")).status == 400
            assert not door.handler.arrived

    asyncio.run(run())


def test_a_head_that_drips_is_given_up() -> None:
    async def run() -> None:
        async with bench(bounds=Bounds(idle_s=0.2)) as door:
            reader, writer = await door.connect()
            silent, other = await door.connect()
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nX-A: ")

            async def dripped() -> bool:
                writer.write(b"a")
                return writer.is_closing() or reader.at_eof()

            await soon(dripped)
            async with asyncio.timeout(SOON_S):
                assert not await silent.read()
            writer.close()
            other.close()

    asyncio.run(run())


@pytest.mark.parametrize("bounds", [Bounds(body_s=0.1), Bounds(body_all_s=0.1)])
def test_a_body_that_drips_is_given_up(bounds: Bounds) -> None:
    async def run() -> None:
        async with bench(bounds=bounds) as door:
            reader, writer = await door.connect()
            writer.write(request(CHAT, None, {"Content-Type": "application/json", "Content-Length": "100"}) + b"{")
            answer = await got(reader)
            assert (answer.status, answer.error["code"]) == (408, "too_slow")
            assert "1 of 100 bytes" in str(answer.error["message"])
            writer.close()

    asyncio.run(run())


def test_a_client_that_waits_to_be_asked_for_its_body_is_asked() -> None:
    data = json.dumps(HELLO).encode()

    async def run() -> None:
        async with bench() as door:
            reader, writer = await door.connect()
            writer.write(request(CHAT, data, {"Expect": "100-continue"})[: -len(data)])
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(data)
            assert (await got(reader)).status == 200
            writer.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1"}, 200),
        ({"Origin": "http://evil.example", "Authorization": "Bearer k"}, 200),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_a_page_of_another_site_cannot_ask_without_a_key(headers: dict[str, str], status: int) -> None:
    """A browser sends a form or text/plain to any address without asking first; nothing else, and never with a key."""

    async def run() -> None:
        async with bench() as door:
            assert (await door.post(CHAT, HELLO, headers)).status == status

    asyncio.run(run())


def test_a_client_that_leaves_with_half_a_body_is_forgotten() -> None:
    async def run() -> None:
        async with bench() as door:
            _, writer = await door.connect()
            writer.write(request(CHAT, None, {"Content-Type": "application/json", "Content-Length": "100"}) + b"{")
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            assert (await door.post(CHAT, HELLO)).status == 200
            assert len(door.handler.arrived) == 1

    asyncio.run(run())
