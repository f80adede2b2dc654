"""Pages, metrics and their streams: functions that know no HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sparkctl.world.door_ports import Bounds, PageAnswer, PageAsked
from tests.support.door_bench import SOON_S, bench, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def home(asked: PageAsked) -> PageAnswer:
    words = f"{asked.method} {asked.places} {asked.fields} {asked.cookies} {asked.query} {asked.encrypted}"
    return PageAnswer(200, {"Content-Type": "text/html; charset=utf-8", "X-Bad": "a\r\nb"}, words.encode())


async def fails(_: PageAsked) -> PageAnswer:
    raise RuntimeError("a secret")


def test_a_page_is_asked_with_what_came_and_answers() -> None:
    pages = {("GET", "/"): home, ("POST", "/services/{name}/stop"): home}

    async def run() -> None:
        async with bench(pages=pages) as door:
            got = await door.get("/?a=b", {"Cookie": "session=s"})
            assert got.body == b"GET {} {} {'session': 's'} {'a': 'b'} False"
            assert (got.headers["content-type"], got.headers["x-bad"]) == ("text/html; charset=utf-8", "a b")
            assert (await door.get("/", {"Connection": "close"})).status == 200
            posted = await door.post("/services/small-1/stop", b"token=t%26&why=", FORM)
            assert posted.body.startswith(b"POST {'name': 'small-1'} {'token': 't&', 'why': ''}")
            assert not door.handler.arrived

    asyncio.run(run())


def test_what_is_no_page_is_none() -> None:
    pages = {("GET", "/"): home, ("POST", "/services/{name}/stop"): home, ("GET", "/bad"): fails}

    async def run() -> None:
        async with bench(pages=pages, bounds=Bounds(page_bytes=100)) as door:
            for path in ("/services/../stop", "/services/a%2fb/stop", "/services//stop", "/services/a/b/stop", "//"):
                assert (await door.post(path, b"", FORM)).status == 404
            assert (await door.get("/services/a/stop")).headers["allow"] == "POST"
            assert (await door.post("/services/a/stop", b"a" * 101, FORM)).status == 413
            got = await door.get("/bad")
            assert got.status == 500
            assert b"secret" not in got.body

    asyncio.run(run())


def test_a_stream_of_a_page_is_closed_when_its_client_leaves() -> None:
    closed = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            yield b"event: history\ndata: 1\n\n"
            await asyncio.sleep(SOON_S * 2)
        finally:
            closed.set()

    async def page(_: PageAsked) -> PageAnswer:
        return PageAnswer(200, {"Content-Type": "text/event-stream"}, pieces())

    async def run() -> None:
        async with bench(pages={("GET", "/events"): page}) as door, asyncio.timeout(SOON_S):
            reader, writer = await door.connect()
            writer.write(request("/events", None, method="GET"))
            assert b"X-Accel-Buffering: no" in await reader.readuntil(b"\r\n\r\n")
            await reader.readuntil(b"data: 1\n\n")
            writer.close()
            await closed.wait()

    asyncio.run(run())


def test_a_stream_of_a_page_that_ends_is_whole() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"

    async def page(_: PageAsked) -> PageAnswer:
        return PageAnswer(200, {"Content-Type": "text/event-stream"}, pieces())

    async def run() -> None:
        async with bench(pages={("GET", "/events"): page}) as door:
            got = await door.get("/events")
            assert (got.body, got.whole) == (b"data: 1\n\n", True)

    asyncio.run(run())
