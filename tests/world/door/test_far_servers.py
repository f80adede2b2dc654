"""Servers of other hosts: through a UNIX socket as ssh makes one, and over lines that notice a host without power."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from sparkctl.world.door.server import open_door
from sparkctl.world.door.to_server import ASK_S, ASKS, line_to
from sparkctl.world.door_ports import DoorPlace, Forward
from tests.support.door_bench import (
    CHAT,
    HELLO,
    STREAM,
    ScriptedHandler,
    ScriptedServer,
    Seen,
    bench,
    event,
    plain,
)
from tests.support.door_bench import says as said

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.world.door_ports import Arrival


async def dies(_: Seen, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def half(_: Seen, writer: asyncio.StreamWriter) -> None:
    await said(writer, STREAM, event({"n": 1}))
    writer.close()


def test_a_request_goes_through_the_socket_with_the_address_of_the_server(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def run() -> None:
        server = ScriptedServer(plain)
        async with (
            await asyncio.start_unix_server(server.serve, path),
            bench(decide=lambda *_: Forward("http://127.0.0.1:8003", socket=str(path))) as door,
        ):
            assert (await door.post(CHAT, HELLO)).json["id"] == "chatcmpl-1"
            assert server.seen[0].headers["host"] == "127.0.0.1:8003"
            assert door.server.seen == []

    asyncio.run(run())


@pytest.mark.parametrize(("script", "there"), [(dies, True), (plain, False)])
def test_one_that_gives_nothing_is_asked_elsewhere_and_its_client_has_the_answer(
    script: object, there: bool, tmp_path: Path
) -> None:
    path, lost = tmp_path / "s", []

    async def run() -> None:
        server = ScriptedServer(script)  # type: ignore[arg-type]

        def decide(_: Arrival, url: str) -> Forward:
            async def elsewhere(unsent: bool, words: str) -> Forward:
                lost.append((unsent, words))
                return Forward(url)

            return Forward("http://127.0.0.1:8003", socket=str(path), lost=elsewhere)

        listening = await asyncio.start_unix_server(server.serve, path) if there else None
        async with bench(decide=decide) as door:
            assert (await door.post(CHAT, HELLO)).json["id"] == "chatcmpl-1"
            assert (await door.handler.end()).how == "done"
        if listening is not None:
            listening.close()

    asyncio.run(run())
    assert [unsent for unsent, _ in lost] == [not there]


def test_a_stream_that_breaks_after_its_first_byte_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def run() -> None:
        server = ScriptedServer(half)
        async with (
            await asyncio.start_unix_server(server.serve, path),
            bench(decide=lambda *_: Forward("http://127.0.0.1:8003", socket=str(path))) as door,
        ):
            got = await door.post(CHAT, {**HELLO, "stream": True})
            assert b"server_died" in got.body
            assert not got.whole
            assert (await door.handler.end()).how == "died"

    asyncio.run(run())


def test_a_socket_that_is_not_there_any_more_costs_nothing(tmp_path: Path) -> None:
    paths = [tmp_path / "one", tmp_path / "two"]

    async def run() -> None:
        server, turns = ScriptedServer(plain), iter(paths)
        async with bench(decide=lambda *_: Forward("http://127.0.0.1:8003", socket=str(next(turns)))) as door:
            for path in paths:
                async with await asyncio.start_unix_server(server.serve, path):
                    assert (await door.post(CHAT, HELLO)).status == 200
                path.unlink(missing_ok=True)
        assert len(server.seen) == 2

    asyncio.run(run())


def test_a_websocket_goes_through_the_socket_too(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def serve(request: web.BaseRequest) -> web.WebSocketResponse:
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        await answer.send_str("session.created")
        await answer.close()
        return answer

    async def run() -> None:
        server = web.Server(serve)
        listening = await asyncio.get_running_loop().create_unix_server(server, str(path))
        handler = ScriptedHandler(lambda _: Forward("http://127.0.0.1:8003", socket=str(path)))
        door = await open_door(DoorPlace("127.0.0.1", 0), handler)
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(f"{door.url}/v1/realtime?model=ears") as client,
            ):
                assert await client.receive_str() == "session.created"
        finally:
            await door.close(0)
            listening.close()
            await server.shutdown(0)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("host", "asks"), [("192.0.2.1", True), ("127.0.0.1", False), ("::1", False), ("fe80::1%1", True)]
)
def test_a_line_to_another_host_asks_whether_that_is_there(host: str, asks: bool) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with line_to((family, socket.SOCK_STREAM, 0, "", (host, 80))) as found:
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == asks
        within = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert within == (ASK_S * ASKS * 1000 if asks else 0)
