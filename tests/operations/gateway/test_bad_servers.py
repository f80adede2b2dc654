"""Servers that answer badly, behind the whole gateway: what clients see, what is counted, and that nothing is left."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from sparkctl.operations.gateway.loop import LoopThread
from sparkctl.operations.gateway.on_page import GatewayPage
from sparkctl.world.door.server import open_door
from tests.support.door_bench import LAST, STREAM, ScriptedServer, Seen, answer, chunk, event, says
from tests.support.gateway_bench import E4B, GatewayBench
from tests.support.plain_http import NO_TLS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STACK = """\
services:
  e4b-nvfp4: {{recipe: e4b-nvfp4, set: {{limits.context: 4096, serve.port: {port}}}, names: [small]}}
gateway: {{}}
"""
LINE = 10_000_000
WELL = b'{"id": "chatcmpl-1", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}'
HTML = b"<html><script>alert(1)</script></html>"
BAD_GATEWAY = b"<html>nginx</html>"


async def behave(seen: Seen, writer: asyncio.StreamWriter) -> None:
    """Do what the request asks for."""
    said = json.loads(seen.body)["messages"][0]["content"]
    if said == "resets":
        linger = writer.get_extra_info("socket")
        linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        writer.transport.abort()
        return
    await says(writer, *ANSWERS[said])
    if said in {"stalls", "stalls in the stream"}:
        await seen.gone.wait()


ANSWERS: dict[str, tuple[bytes, ...]] = {
    "well": (answer(WELL),),
    "closes": (),
    "no HTTP": (b"GARBAGE\r\n\r\n",),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-",),
    "too short": (answer(b'{"id"', length=1000),),
    "too long": (answer(WELL + b"more than it said", length=len(WELL)),),
    "HTML": (answer(HTML, kind="text/html"),),
    "502": (answer(BAD_GATEWAY, status="502 Bad Gateway", kind="text/html"),),
    "stalls": (),
    "stalls in the stream": (STREAM, event({"n": 1})),
    "long line": (STREAM, event({"text": "x" * LINE}), event(b"[DONE]"), LAST),
    "half an event": (STREAM, event({"n": 1}), chunk(b'data: {"n": ')),
    "bad chunk": (STREAM, event({"n": 1}), b"zz\r\nno length\r\n"),
    "no end": (STREAM, event({"n": 1})),
}


class BadBench(GatewayBench):
    """A gateway with its real door before a scripted server."""

    server: ScriptedServer

    @property
    def page(self) -> GatewayPage:
        page = self.gateway.page
        assert isinstance(page, GatewayPage)
        return page

    def post(self, said: str, *, stream: bool = False, timeout: float = 20.0) -> httpx2.Response | Exception:
        """Ask as a client does, while the agent goes on looking."""
        body: dict[str, Any] = {"model": "small", "messages": [{"role": "user", "content": said}], "stream": stream}

        def asked() -> httpx2.Response | Exception:
            try:
                return httpx2.post(f"{self.gateway.url}/v1/chat/completions", json=body, timeout=timeout, verify=NO_TLS)
            except httpx2.HTTPError as error:
                return error

        with ThreadPoolExecutor(1) as beside:
            answered = beside.submit(asked)
            self.until(answered.done)
        self.until(lambda: not self.gateway.handler.requests(), ticks=False)
        return answered.result()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[BadBench]:
    loop = LoopThread()
    server = ScriptedServer(behave)

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(server.serve, "127.0.0.1", 0)

    listening = loop.wait_for(listen())
    port = listening.sockets[0].getsockname()[1]
    found = BadBench(tmp_path, STACK.format(port=port), parts={"opener": open_door, "port": 0, "page": GatewayPage})
    found.server = server
    found.spark.http.serving[f"127.0.0.1:{port}"] = "gemma-4-e4b"
    found.up()
    yield found
    found.close()

    async def close() -> None:
        listening.close()

    loop.wait_for(close())
    loop.close()


def error(found: httpx2.Response | Exception) -> tuple[int, str]:
    assert isinstance(found, httpx2.Response), found
    assert found.headers["content-type"] == "application/json"
    return found.status_code, found.json()["error"]["code"]


def test_whatever_a_server_does_its_client_has_an_answer_or_a_broken_connection_and_all_is_counted(
    bench: BadBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    # Nothing of an answer: said with how it was, and the server, which runs, is asked again by the next.
    for said, words in (
        ("resets", "broke the connection off"),
        ("closes", "closed the connection without an answer"),
        ("no HTTP", "did not answer as HTTP has it"),
        ("half a head", "closed the connection without an answer"),
        ("too long", "did not answer as HTTP has it"),
    ):
        found = bench.post(said)
        assert error(found) == (502, "server_died")
        assert isinstance(found, httpx2.Response)
        assert f"the server of {E4B} {words}" in found.json()["error"]["message"]

    # What it says is handed on, whatever that is.
    for said, status, body in (
        ("well", 200, WELL),
        ("HTML", 200, HTML),
        ("502", 502, BAD_GATEWAY),
    ):
        found = bench.post(said)
        assert isinstance(found, httpx2.Response)
        assert (found.status_code, found.content, found.headers.get("x-sparkctl-model")) == (status, body, E4B)

    # An answer that breaks off never ends as if it were whole.
    assert isinstance(bench.post("too short"), httpx2.RemoteProtocolError)
    for said in ("half an event", "no end"):
        assert isinstance(bench.post(said, stream=True), httpx2.RemoteProtocolError)
    found = bench.post("bad chunk", stream=True)  # read with the first event, or after it
    assert isinstance(found, httpx2.RemoteProtocolError) or error(found) == (502, "server_died")

    # A line of ten megabytes comes as it is.
    found = bench.post("long line", stream=True)
    assert isinstance(found, httpx2.Response)
    assert (len(found.content), found.content[-14:]) == (
        LINE + len('data: {"text": ""}\n\ndata: [DONE]\n\n'),
        b"data: [DONE]\n\n",
    )

    # A server that stalls: who waits for it may leave, and the server's work ends with that.
    for said in ("stalls", "stalls in the stream"):
        assert isinstance(bench.post(said, stream=True, timeout=0.2), httpx2.TimeoutException)
        bench.until(bench.server.seen[-1].gone.is_set, ticks=False)

    assert [one.status for one in bench.done] == [502] * 5 + [200, 200, 502] + [502] * 4 + [200] + [499] * 2
    text = bench.page.metrics.text().decode()
    counted = 'sparkctl_gateway_requests_total{{code="{}",key="-",name="small"}} {}'
    for code, count in ((200, 3.0), (502, 10.0), (499, 2.0)):
        assert counted.format(code, count) in text
    assert 'sparkctl_gateway_tokens_total{key="-",kind="completion",name="small"} 4.0' in text
    assert (bench.gateway.clerk.desk.serving(E4B), bench.starts(E4B)) == (0, 1)
    told = "\n".join([*bench.report.said, *bench.report.warned, caplog.text])
    assert "Traceback" not in told
    assert "a defect of sparkctl" not in told


def test_many_at_once_at_a_server_that_resets_are_all_answered(bench: BadBench) -> None:
    found: list[int] = []

    def ask() -> None:
        body = {"model": "small", "messages": [{"role": "user", "content": "resets"}]}
        found.append(
            httpx2.post(f"{bench.gateway.url}/v1/chat/completions", json=body, timeout=30, verify=NO_TLS).status_code
        )

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for one in threads:
        one.start()
    bench.until(lambda: not any(one.is_alive() for one in threads))
    assert set(found) <= {502, 429}
    assert found.count(502) >= 8
    bench.until(lambda: bench.gateway.clerk.desk.serving(E4B) == 0, ticks=False)
    assert isinstance(bench.post("well"), httpx2.Response)
