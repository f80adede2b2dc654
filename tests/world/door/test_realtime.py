"""Websockets through the door, with aiohttp's own at both ends."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from sparkctl.world.door.server import open_door
from sparkctl.world.door_ports import Bounds, DoorPlace, Forward, Refuse
from tests.support.door_bench import SOON_S, ScriptedHandler, soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sparkctl.world.door_ports import Decision


class DiedError(Exception):
    """The server ends its connection without a word."""


async def echo(socket: web.WebSocketResponse) -> None:
    """Speak first, as vLLM does, and then repeat what is said, until "end" or "die"."""
    await socket.send_str("session.created")
    async for message in socket:
        if message.data == "end":
            await socket.close(code=4001)
        elif message.data == "die":
            raise DiedError
        elif message.type is aiohttp.WSMsgType.TEXT:
            await socket.send_str(message.data)
        else:
            await socket.send_bytes(message.data)


@asynccontextmanager
async def through(
    talks: Callable[[web.WebSocketResponse], Awaitable[None]] = echo,
    decide: Callable[[str], Decision] | None = None,
    rest_s: float = 30.0,
) -> AsyncIterator[tuple[str, ScriptedHandler, list[web.BaseRequest], aiohttp.ClientSession]]:
    """Yield the address of the door, its handler, what the server was asked, and a client's session."""
    asked: list[web.BaseRequest] = []

    async def serve(request: web.BaseRequest) -> web.WebSocketResponse:
        asked.append(request)
        socket = web.WebSocketResponse(protocols=("realtime",))
        await socket.prepare(request)
        try:
            await talks(socket)
        except DiedError:
            assert request.transport is not None
            request.transport.abort()
        return socket

    server = web.Server(serve)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    handler = ScriptedHandler(lambda _: decide(url) if decide else Forward(url, headers={"Authorization": "Bearer s"}))
    door = await open_door(DoorPlace("127.0.0.1", 0), handler, None, Bounds(rest_s=rest_s))
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(SOON_S):
            yield f"{door.url}/v1/realtime?model=ears", handler, asked, session
    finally:
        await door.close(0)
        listening.close()
        await server.shutdown(0)


def test_both_sides_are_heard_and_how_they_close() -> None:
    async def run() -> None:
        async with through() as (url, handler, asked, session):
            async with session.ws_connect(
                url, protocols=("realtime",), headers={"Authorization": "Bearer k"}
            ) as socket:
                assert (await socket.receive_str(), socket.protocol) == ("session.created", "realtime")
                await socket.send_str("hello")
                assert await socket.receive_str() == "hello"
                await socket.send_bytes(b"\x00" * 300_000)
                assert await socket.receive_bytes() == b"\x00" * 300_000
                await socket.send_str("end")
                assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
                assert socket.close_code == 4001
            assert (handler.arrived[0].form, handler.arrived[0].model, handler.arrived[0].key) == (
                "socket",
                "ears",
                "k",
            )
            assert (asked[0].raw_path, asked[0].headers["Authorization"]) == ("/v1/realtime?model=ears", "Bearer s")
            assert (await handler.end()).how == "done"

    asyncio.run(run())


@pytest.mark.parametrize("drops", [False, True])
def test_a_client_that_closes_or_leaves_closes_the_server(drops: bool) -> None:
    over = asyncio.Event()

    async def talks(socket: web.WebSocketResponse) -> None:
        try:
            await echo(socket)
        finally:
            over.set()

    async def run() -> None:
        async with through(talks) as (url, handler, _, session):
            socket = await session.ws_connect(url)
            assert await socket.receive_str() == "session.created"
            if drops:
                socket.get_extra_info("socket").shutdown(2)
            else:
                await socket.close(code=4002)
            await over.wait()
            assert (await handler.end()).how == ("left" if drops else "done")

    asyncio.run(run())


def test_a_server_that_dies_is_no_clean_end() -> None:
    async def run() -> None:
        async with through() as (url, handler, _, session), session.ws_connect(url) as socket:
            await socket.receive_str()
            await socket.send_str("die")
            await socket.receive()
            assert socket.close_code == 1011
            assert (await handler.end()).how == "died"

    asyncio.run(run())


@pytest.mark.parametrize("decision", [Refuse(404, "model_not_found", "no such"), Forward("http://127.0.0.1:1")])
def test_what_is_refused_opens_no_socket(decision: Decision) -> None:
    async def run() -> None:
        async with through(decide=lambda _: decision) as (url, _, asked, session):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(url)
            assert caught.value.status == (404 if isinstance(decision, Refuse) else 502)
            assert not asked

    asyncio.run(run())


def test_a_socket_on_which_nothing_goes_rests() -> None:
    async def run() -> None:
        async with through(rest_s=0.05) as (url, handler, _, session), session.ws_connect(url) as socket:
            await socket.receive_str()
            await soon(lambda: rested(handler, [True]))
            await socket.send_str("hello")
            await soon(lambda: rested(handler, [True, False]))
            await soon(lambda: rested(handler, [True, False, True]))

    async def rested(handler: ScriptedHandler, times: list[bool]) -> bool:
        return handler.rested[: len(times)] == times

    asyncio.run(run())


def test_a_request_for_a_socket_that_is_none_is_refused() -> None:
    async def run() -> None:
        async with through() as (url, _, asked, session), session.get(url) as answer:
            assert answer.status == 426
            assert not asked

    asyncio.run(run())
