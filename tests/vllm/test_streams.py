"""From the bytes of a stream to its tokens and their times, whatever a server sends."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.errors import EngineError
from sparkctl.vllm import answers, streams
from sparkctl.vllm.streams import Completion, completion
from sparkctl.world.local.stream_client import AsyncStreams
from sparkctl.world.web import Raw
from tests.support.bench_streams import DONE, HEAD, event, raw, text
from tests.support.hostile import hostile, says
from tests.support.paths import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

USAGE = {"prompt_tokens": 5, "completion_tokens": 3}
WHOLE = raw(
    (2.0, text()), (3.0, text("")), (5.0, text()), (6.0, event({"choices": [], "usage": USAGE}) + b"data: [DONE]\n\n")
)


def test_tokens_are_the_servers_count_and_times_those_of_the_chunks() -> None:
    found = completion(WHOLE)
    assert found == Completion(1.0, 9.0, 3, 5, (2.0, 3.0, 5.0), counted=True)
    assert (found.seconds, found.first_s, found.per_second) == (8.0, 1.0, 3 / 8)


def test_a_real_servers_stream() -> None:
    body = (FIXTURES / "vllm-0.32-cpu" / "stream.sse").read_bytes()
    found = completion(raw((2.0, body)))
    assert (found.tokens, found.prompt_tokens, found.counted, found.problem) == (8, 18, True, "")
    assert len(found.times_s) == 8, "the first event has the role and no token"


@pytest.mark.parametrize(
    ("pieces", "tokens", "counted"),
    [
        ((text() + event({"choices": [], "usage": USAGE}) * 2 + b"data: [DONE]\n\n",), 3, True),
        ((text(), text() + b"data: [DONE]\n\n"), 2, False),
        ((event({"choices": [{"delta": {"reasoning_content": "hm"}}]}) + b"data: [DONE]\n\n",), 1, False),
        ((event({"choices": [{"delta": {"reasoning": "hm"}}]}) + b"data: [DONE]\n\n",), 1, False),
        ((b": a comment\n\n" + text() + b"data: not json\n\n" + b"data: [DONE]\n\n",), 1, False),
        ((text() + event({"usage": "many", "choices": []}) + DONE,), 1, False),
        ((text() + event({"usage": {"completion_tokens": True}}) + DONE,), 1, False),
        ((event({"error": None, "choices": [{"text": "a"}], "usage": None}) + b"data: [DONE]\r\n",), 1, False),
        ((event({"choices": [{"delta": {"role": "assistant", "content": ""}}]}) + text(), DONE), 1, False),
        ((event({"choices": [{"delta": {}}, 7]}) + event({"choices": {}}) + text(), DONE), 1, False),
    ],
    ids=[
        *("usage twice", "no usage", "reasoning_content", "reasoning", "comments and nonsense", "usage is a text"),
        *("usage is no number", "error is null", "a role is no token", "empty deltas"),
    ],
)
def test_streams_that_are_odd_and_good(pieces: tuple[bytes, ...], tokens: int, *, counted: bool) -> None:
    found = completion(raw(*((2.0 + number, piece) for number, piece in enumerate(pieces))))
    assert (found.tokens, found.counted, found.problem) == (tokens, counted, "")


@pytest.mark.parametrize(
    ("stream", "problem"),
    [
        (raw((2.0, text())), "the stream ended before [DONE]"),
        (raw((2.0, text()), error="connection reset by peer"), "connection reset by peer"),
        (raw((2.0, b"data: [DONE]\n\n")), "the stream had no tokens"),
        (raw((2.0, event({"error": {"message": "engine dead"}}))), "the server broke off: {'message': 'engine dead'}"),
        (Raw(1, 2, (), "Connection refused"), "Connection refused"),
        (
            Raw(1, 2, ((1.5, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nno!"),)),
            "the server answered 400: no!",
        ),
        (Raw(1, 2, ((1.5, b"\x16\x03 TLS \r\n\r\n"),)), "no HTTP: "),
    ],
)
def test_a_stream_that_does_not_count_says_why(stream: Raw, problem: str) -> None:
    assert completion(stream).problem.startswith(problem)


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes_are_read_without_an_error(pieces: list[bytes]) -> None:
    completion(raw(*((2.0, piece) for piece in pieces)))
    completion(Raw(1, 2, tuple((2.0, piece) for piece in pieces)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["text", "delta", "x"]), inner),
    max_leaves=5,
)


@given(
    st.lists(st.dictionaries(st.sampled_from(["choices", "usage", "error", "id"]), JSON | st.lists(JSON)), max_size=4)
)
def test_any_events_are_read_without_an_error_and_counted_at_most_once(events: list[dict[str, object]]) -> None:
    found = completion(raw((2.0, b"".join(map(event, events)) + DONE)))
    assert len(found.times_s) <= len(events)
    assert found.tokens >= 0
    assert found.problem.isprintable()


def test_what_a_server_said_is_safe_to_print() -> None:
    broken = raw((2.0, b'data: {"error": "gone\\u001b[31m\\ud800."}\n\n'))
    assert completion(broken).problem == "the server broke off: gone?[31m?."


def test_the_key_is_not_repeated() -> None:
    broken = raw((2.0, b'data: {"error": "' + b"x" * 185 + b'sk-of-the-operator"}\n\n'))
    assert "sk-" in completion(broken).problem
    assert "sk-" not in completion(broken, ["sk-of-the-operator"]).problem
    refused = Raw(1, 2, ((1.5, b'HTTP/1.1 403 No\r\n\r\n{"error": {"message": "not sk-of-the-operator"}}'),))
    assert completion(refused, ["sk-of-the-operator"]).problem == "the server answered 403: not ***"


@given(st.integers(1, len(WHOLE.pieces[1][1]) - 1))
def test_it_does_not_matter_where_the_network_cuts(cut: int) -> None:
    (head, (at, first), *rest) = WHOLE.pieces
    pieces = (head, (at, first[:cut]), (at, first[cut:]), *rest)
    assert completion(WHOLE._replace(pieces=pieces)) == completion(WHOLE)


# --- over a network ---------------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200 if self.headers.get("Authorization") == "Bearer key" else 401)
        self.send_header("Connection", "close")
        self.end_headers()
        with suppress(OSError):  # the client has had enough
            self._write(body)

    def _write(self, body: Mapping[str, int]) -> None:
        for _ in range(body["max_tokens"]):
            self.wfile.write(text())
        usage = {"prompt_tokens": 1, "completion_tokens": body["max_tokens"]}
        self.wfile.write(event({"choices": [], "usage": usage}) + b"data: [DONE]\n\n")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/completions"
    server.shutdown()
    thread.join()
    server.server_close()


def asked(url: str, bodies: list[dict[str, int]], key: str | None = "key", most_bytes: int = 10**6) -> list[Completion]:
    return [completion(one) for one in AsyncStreams().run(url, bodies, key=key, timeout_s=20, most_bytes=most_bytes)]


def test_many_at_once_over_real_http(url: str) -> None:
    bodies = [{"max_tokens": number} for number in range(1, 9)]
    assert [(one.tokens, one.problem) for one in asked(url, bodies)] == [(number, "") for number in range(1, 9)]
    (refused,) = asked(url, bodies[:1], key=None)
    assert refused.problem.startswith("the server answered 401")
    (absent,) = asked("http://127.0.0.1:9/x", [{}])
    assert absent.problem


def test_streams_go_through_a_socket_that_leads_to_another_host(tmp_path: Path) -> None:
    streamed = HEAD + text() + event({"choices": [], "usage": USAGE}) + DONE
    client = AsyncStreams(forwarded=lambda *_: tmp_path / "s")
    with hostile(says(streamed), at=tmp_path / "s") as heard:
        found = client.run("http://127.0.0.1:9/v1", [{}] * 3, key="key", timeout_s=5, most_bytes=10**6)
    assert [(one.tokens, one.problem) for one in map(completion, found)] == [(3, "")] * 3
    assert all(b"Host: 127.0.0.1:9\r\n" in request for request in heard.requests)
    (gone,) = client.run("http://127.0.0.1:9/v1", [{}], timeout_s=5, most_bytes=10**6)
    assert completion(gone).problem


def test_a_connection_that_forwards_nothing_is_a_problem_of_each_request() -> None:
    def forwarded(*_: object) -> Path:
        raise EngineError("a is not reached: the connection ended")

    found = AsyncStreams(forwarded=forwarded).run("http://h:1/", [{}] * 2, timeout_s=5, most_bytes=9)
    assert [one.error for one in found] == ["a is not reached: the connection ended"] * 2


def test_a_stream_that_does_not_end_is_cut_off(url: str) -> None:
    endless, short = asked(url, [{"max_tokens": 10**9}, {"max_tokens": 1}], most_bytes=10_000)
    assert endless.problem == "the answer is longer than so many tokens can be"
    assert (short.tokens, short.problem) == (1, "")


@pytest.mark.parametrize("url", ["", "https://127.0.0.1:1/", "http://[::1", "http://" + "a" * 70, "http://h:x/"])
def test_an_address_that_is_none_is_a_problem_and_no_error(url: str) -> None:
    (found,) = asked(url, [{}])
    assert found.problem


def test_a_key_that_no_header_can_have_is_not_repeated() -> None:
    (found,) = asked("http://127.0.0.1:9/", [{}], key="sk-\nsecret")
    assert "HTTP does not allow" in found.problem
    assert "secret" not in found.problem


VECTORS = (
    b'{"data": [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [2.0]}], "usage": {"prompt_tokens": 9}}'
)
HEAD_OF_VECTORS = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(VECTORS)


def test_vectors_are_counted_when_their_answer_is_whole() -> None:
    found = streams.pooled(
        Raw(1.0, 3.0, ((2.0, HEAD_OF_VECTORS), (2.5, VECTORS[:9]), (3.0, VECTORS[9:]))), answers.vectors
    )
    assert (found.tokens, found.prompt_tokens, found.first_s, found.per_second, found.problem) == (2, 9, 2.0, 1.0, "")


@pytest.mark.parametrize(
    ("came", "problem"),
    [
        (Raw(1.0, 2.0, ((2.0, HEAD_OF_VECTORS + VECTORS[:-1]),), "reset"), "reset"),
        (Raw(1.0, 2.0, ((2.0, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),)), "the server answered 404: "),
        (Raw(1.0, 2.0, ((2.0, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),)), "no vectors: {}"),
        (Raw(1.0, 2.0, ((2.0, b"\x16\x03"),)), "no HTTP: "),
        (Raw(1.0, 2.0, ()), "no answer"),
    ],
)
def test_what_is_no_vector_is_a_problem(came: Raw, problem: str) -> None:
    found = streams.pooled(came, answers.vectors)
    assert found.problem.startswith(problem)
    assert found.tokens == 0
