"""The HTTP of this machine against servers that keep to no rule: an answer within bounds, and never an error."""

from __future__ import annotations

import gzip
import json
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.world.local.http_client import MOST_BYTES, SocketHttp
from sparkctl.world.web import Reply
from tests.support.hostile import OK, drips, for_ever, hostile, resets, says, silent

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "sk-of-the-operator"
LATE_S = 0.3
"""How long the servers that never end are waited for."""


def body(text: bytes, *more: bytes) -> bytes:
    lines = [OK.rstrip(), b"Content-Length: " + str(len(text)).encode(), *more]
    return b"\r\n".join(lines) + b"\r\n\r\n" + text


def test_an_answer_is_its_status_and_its_body() -> None:
    with hostile(says(b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!")) as server:
        assert SocketHttp().get(f"{server.url}/health?a=b", key=KEY) == (404, "no!", True)
        assert SocketHttp().post(f"{server.url}/v1/x", {"a": "é"}) == (404, "no!", True)
    get, post = (request.decode() for request in server.requests)
    host = f"127.0.0.1:{server.port}"
    assert get == (
        f"GET /health?a=b HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: identity\r\nConnection: close\r\n"
        f"Authorization: Bearer {KEY}\r\n\r\n"
    )
    assert post.startswith("POST /v1/x HTTP/1.1\r\n")
    assert "Authorization" not in post
    assert json.loads(post.partition("\r\n\r\n")[2]) == {"a": "é"}


WHOLE = {
    "until it closes": (OK + b"\r\nyes", "yes"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\ny\r\n2;a=b\r\nes\r\n0\r\n\r\n", "yes"),
    "more than its length": (body(b"yes") + b"HTTP/1.1 500 No\r\n\r\n", "yes"),
    "hints before it": (b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n" * 3 + body(b"yes"), "yes"),
    "no UTF-8": (body(b"y\xffs"), "y\ufffds"),
    "a charset that is none": (body(b"yes", b"Content-Type: text/plain; charset=zip"), "yes"),
    "another charset": (body("é".encode(), b"Content-Type: text/plain; charset=utf-16"), "é"),
    "a cookie": (body(b"yes", b"Set-Cookie: a=b; Domain=127.0.0.1"), "yes"),
}


@pytest.mark.parametrize("how", WHOLE)
def test_what_is_odd_and_whole_is_taken(how: str) -> None:
    sent, text = WHOLE[how]
    with hostile(says(sent)) as server:
        http = SocketHttp()
        assert http.get(server.url) == http.get(server.url) == Reply(200, text)
    assert b"Cookie" not in server.requests[1]


NONE = {
    "closes": (says(b""), "the server closed the connection"),
    "resets": (resets(b""), "Connection reset by peer"),
    "resets half-way": (resets(OK + b"Content-Length: 5\r\n\r\nye"), "Connection reset by peer"),
    "less than its length": (says(OK + b"Content-Length: 5\r\n\r\nyes"), "it is no whole HTTP: peer closed"),
    "a length below nothing": (says(OK + b"Content-Length: -5\r\n\r\nyes"), "it is no whole HTTP: bad Content-Length"),
    "two lengths": (says(OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nyes"), "conflicting Content-Length"),
    "a length of 5000 digits": (says(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nyes"), "it is no whole HTTP"),
    "a chunk of no size": (says(OK + b"Transfer-Encoding: chunked\r\n\r\nx\r\n"), "illegal chunk header"),
    "TLS": (says(b"\x15\x03\x03\x00\x02\x02\x46"), "it is no whole HTTP"),
    "SSH": (says(b"SSH-2.0-OpenSSH_9.2\r\n"), "it is no whole HTTP"),
    "another protocol": (says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), "it is no whole HTTP"),
    "a status that is none": (says(b"HTTP/1.1 20 OK\r\n\r\n"), "it is no whole HTTP"),
    "half a head": (says(OK + b"Content-"), "it is no whole HTTP"),
    "a head line of 10 MB": (says(OK + b"X: " + b"x" * 10**7 + b"\r\n\r\n"), "it is no whole HTTP: Receive buffer"),
    "heads of 10 MB": (says(OK + b"X: x\r\n" * 2_000_000 + b"\r\n"), "it is no whole HTTP: Receive buffer"),
    "hints for ever": (for_ever(b"", b"HTTP/1.1 103 Hints\r\n\r\n" * 999), "no answer among them"),
}


@pytest.mark.parametrize("how", NONE)
def test_what_is_no_whole_answer_is_none(how: str) -> None:
    act, why = NONE[how]
    with hostile(act) as server:
        reply = SocketHttp(most_bytes=100_000).get(server.url)
    assert reply.status is None
    assert why in reply.body
    assert reply.body.isprintable()
    assert len(reply.body) < 200


@pytest.mark.a_part(2)
@pytest.mark.parametrize(
    "act",
    [
        silent,
        drips(b"", b"H"),
        drips(OK, b"X-More: x\r\n"),
        drips(OK + b"Content-Length: 1000000\r\n\r\n", b"x"),
        drips(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silent", "status line", "head", "body", "chunks", "hints"],
)
def test_a_server_that_drips_is_late_as_a_silent_one_is(act: Callable[[socket.socket], None]) -> None:
    with hostile(act) as server:
        assert SocketHttp().get(server.url, timeout_s=LATE_S) == Reply(None, "none within 0s")


def test_a_server_that_takes_no_connection_is_late() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        with socket.create_connection(address):  # the queue is full now
            reply = SocketHttp().get(f"http://127.0.0.1:{address[1]}", timeout_s=LATE_S)
    assert reply.status is None


@pytest.mark.parametrize(
    "act",
    [
        for_ever(OK + b"\r\n", b"x" * 99_999),
        for_ever(OK + b"Content-Length: 100000000\r\n\r\n", b"x" * 99_999),
        for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 9_999),
    ],
    ids=["no length", "100 MB", "small chunks"],
)
def test_an_endless_answer_is_cut_and_that_is_told(act: Callable[[socket.socket], None]) -> None:
    with hostile(act) as server:
        reply = SocketHttp(most_bytes=50_000).get(server.url)
    assert (reply.status, reply.whole) == (200, False)
    assert 0 < len(reply.body) <= 50_000


def test_an_answer_of_just_as_many_bytes_is_whole() -> None:
    with hostile(says(body(b"x" * MOST_BYTES))) as server:
        assert SocketHttp().get(server.url) == Reply(200, "x" * MOST_BYTES)


def test_nothing_is_unpacked() -> None:
    bomb = gzip.compress(b"x" * 10**7)
    with hostile(says(body(bomb, b"Content-Encoding: gzip"))) as server:
        assert len(SocketHttp().get(server.url).body) <= len(bomb)


def test_a_redirect_is_not_followed_and_the_key_goes_nowhere_else() -> None:
    with (
        hostile(says(body(b"stolen"))) as thief,
        hostile(says(f"HTTP/1.1 307 Go\r\nLocation: {thief.url}/\r\nContent-Length: 2\r\n\r\ngo".encode())) as server,
    ):
        assert SocketHttp().get(server.url, key=KEY) == Reply(307, "go")
        assert SocketHttp().post(server.url, {}, key=KEY) == Reply(307, "go")
    assert thief.requests == []


def test_an_answer_before_the_request_was_read_is_taken() -> None:
    """A server that refuses a key need not read a request of megabytes first."""

    def act(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
        line.shutdown(socket.SHUT_WR)
        while line.recv(2**20):
            pass

    with hostile(act) as server:
        assert SocketHttp().post(server.url, "x" * 10**7) == Reply(401, "")


def test_a_refused_connection_is_no_answer_and_no_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert SocketHttp().get(f"http://127.0.0.1:{port}/health") == Reply(None, "Connection refused")


@pytest.mark.parametrize(
    "url",
    ["", "/metrics", "wss://127.0.0.1/", "http://::1:8000/", "http://[::1", "http://h:99999", "ftp://h", "http:"],
)
def test_an_address_that_is_none_is_no_answer(url: str) -> None:
    assert SocketHttp().get(url, key=KEY) == Reply(None, "its address is not of the form http://HOST:PORT")


@pytest.mark.parametrize("host", ["a" * 70 + ".x", "no.such.host.invalid", "h\x00"])
def test_a_host_that_is_none_is_no_answer(host: str) -> None:
    assert SocketHttp().get(f"http://{host}:1/", key=KEY).status is None


@pytest.mark.parametrize("key", ["sk-secret\r\nX: y", "sk-secret-鍵", "sk-secret\x00"])
def test_a_key_that_no_header_can_have_is_not_sent_and_not_repeated(key: str) -> None:
    with hostile(says(body(b""))) as server:
        reply = SocketHttp().get(server.url, key=key)
    assert (reply.status, server.requests) == (None, [])
    assert "HTTP does not allow" in reply.body
    assert "secret" not in reply.body


@given(st.lists(st.binary(max_size=40) | st.sampled_from([OK, b"\r\n", b"Content-Length: 3", b"\r\n\r\n"]), max_size=8))
@settings(max_examples=60)
def test_any_bytes_are_an_answer_or_none(pieces: list[bytes]) -> None:
    with hostile(says(*pieces)) as server:
        reply = SocketHttp(most_bytes=100).get(server.url, timeout_s=20)
    assert (reply.status is None) <= bool(reply.body)
