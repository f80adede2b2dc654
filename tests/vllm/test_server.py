"""The one client of a vLLM: what it makes of real answers, of hostile ones, and how it asks."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.vllm.answers import (
    Generation,
    Healthy,
    Labels,
    NoAnswer,
    OtherAnswer,
    Ranking,
    ServedModels,
    ServerVersion,
    TokenIds,
    Transcript,
    Vectors,
    excerpt,
    status_of,
)
from sparkctl.vllm.kinds import ServerKind
from sparkctl.vllm.metrics import Metrics
from sparkctl.vllm.server import OTHERWISE, PROOFS, STREAM_S, TIMEOUTS_S, Route, Server
from sparkctl.world.local.http_client import MOST_BYTES, SocketHttp
from sparkctl.world.web import Reply
from tests.support.bench_streams import FakeStreams
from tests.support.hostile import OK, for_ever, hostile, says
from tests.support.parsed import MODULES, PACKAGE, nodes_of, text_of
from tests.support.paths import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.world.web import Raw

KEY = 'sk-"quoted"-of-the-operator'
RECORDED = FIXTURES / "vllm-0.32-cpu"
ANSWERS = json.loads((RECORDED / "answers.json").read_text())


@dataclass
class Asked:
    """A server that answers everything with one reply, and keeps what it was asked."""

    reply: Reply = Reply(None, "Connection refused")  # noqa: RUF009  (a tuple, which cannot change)
    requests: list[tuple[object, ...]] = field(default_factory=list)

    def trusting(self, certificate: str) -> Asked:
        return self

    def get(self, url: str, *, key: str | None = None, timeout_s: float = 0.0) -> Reply:
        self.requests.append(("GET", url, key, timeout_s))
        return self.reply

    def post(self, url: str, body: object, *, key: str | None = None, timeout_s: float = 0.0) -> Reply:
        self.requests.append(("POST", url, key, timeout_s, body))
        return self.reply


ASKED: dict[str, Callable[[Server], object]] = {
    "GET /health": Server.health,
    "GET /version": Server.version,
    "GET /v1/models": Server.models,
    "GET /metrics": Server.metrics,
    "POST /tokenize": lambda server: server.tokenize("tiny", "1 2 3"),
    "POST /v1/completions": lambda server: server.complete({"prompt": "1"}),
    "POST /v1/chat/completions": lambda server: server.chat({"messages": []}),
    "POST /v1/embeddings": lambda server: server.embed("tiny", ["1", "2"]),
    "POST /v1/rerank": lambda server: server.rank("tiny", "1", ["1", "2"]),
    "POST /classify": lambda server: server.classify("tiny", "1"),
    "POST /pooling": lambda server: server.pool("tiny", "1"),
    "POST /v1/audio/transcriptions": lambda server: server.transcribe("tiny", b"RIFF"),
}
"""Every question of the client, by what goes over the wire."""


def answer(request: str, reply: Reply) -> object:
    return ASKED[request](Server(Asked(reply), "http://server", KEY))


# --- what a real vLLM answered ---------------------------------------------------------------------------------------

REAL: dict[str, object] = {
    "health": Healthy(),
    "version": ServerVersion("0.32.0"),
    "models": ServedModels(("tiny",)),
    "models without key": OtherAnswer(401, "Unauthorized"),
    "completion": Generation("ndndndnd", tokens=4, finish="length"),
    "completion with a wrong key": OtherAnswer(401, "Unauthorized"),
    "completion of another model": OtherAnswer(404, "The model `nobody` does not exist. Valid aliases: tiny."),
    "completion too long": OtherAnswer(
        400,
        "max_tokens=4000 cannot be greater than max_model_len=1024. Please request fewer output tokens. "
        "(parameter=max_tokens, value=4000)",
    ),
    "tokenize": TokenIds((19, 223, 20, 223, 21)),
    "completion of a model that embeds": OtherAnswer(404, "Not Found"),
    "chat of a model that embeds": OtherAnswer(404, "Not Found"),
    "rerank": Ranking((1, 0), (0.9105371236801147, 0.9094648361206055), 15),
    "classify": Labels(1),
    "completion of a model that ranks": OtherAnswer(404, "Not Found"),
}


@pytest.mark.parametrize("name", REAL)
def test_what_a_real_server_answered(name: str) -> None:
    recorded = ANSWERS[name]
    assert answer(recorded["request"], Reply(recorded["status"], recorded["body"])) == REAL[name]


def test_the_other_recorded_answers() -> None:
    chat = answer("POST /v1/chat/completions", Reply(200, ANSWERS["chat"]["body"]))
    assert isinstance(chat, Generation)
    assert (chat.tokens, chat.finish, chat.message["role"], chat.thought) == (4, "length", "assistant", "")
    longer = answer("POST /v1/chat/completions", Reply(200, (RECORDED / "chat3.json").read_text()))
    assert isinstance(longer, Generation)
    assert longer.tokens == 200
    assert longer.text == longer.message["content"]
    counted = answer("GET /metrics", Reply(200, (RECORDED / "metrics.txt").read_text()))
    assert isinstance(counted, Metrics)
    assert counted.says_anything
    half = ANSWERS["half a request"]
    refused = answer("POST /v1/completions", Reply(half["status"], half["body"]))
    assert isinstance(refused, OtherAnswer)
    assert refused.said.startswith("1 validation error: {'type': 'json_invalid'"), "on one line"
    slash = ANSWERS["models with a slash"]
    assert answer("GET /v1/models", Reply(slash["status"], slash["body"])) == OtherAnswer(307, "")


# --- what the statuses mean ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        *((401, "wants_key"), (403, "wants_key"), (404, "not_here"), (405, "not_here"), (501, "unable")),
        *((500, "failing"), (502, "failing"), (503, "failing"), (400, ""), (307, ""), (200, "")),
    ],
)
def test_what_another_status_means(status: int, meaning: str) -> None:
    found = OtherAnswer(status, "words")
    meanings = [name for name in ("wants_key", "not_here", "unable", "failing") if getattr(found, name)]
    assert meanings == ([meaning] if meaning else [])


def test_older_vllms_say_with_400_what_a_model_does_not_do() -> None:
    assert OtherAnswer(400, "The model does not support Completions API").unable
    assert not OtherAnswer(400, "max_tokens is too large").unable


NO_TEMPLATE = (
    "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat template if the "
    "tokenizer does not define one."
)
"""vLLM 0.32.0, renderers/hf.py."""


@pytest.mark.parametrize(
    ("answer_", "other"),
    [
        (OtherAnswer(404, "Not Found"), True),
        (OtherAnswer(405, "Method Not Allowed"), True),
        (OtherAnswer(501, "anything"), True),
        (OtherAnswer(400, "The model does not support Chat Completions API"), True),
        (OtherAnswer(400, NO_TEMPLATE), True),
        (OtherAnswer(404, "The model `nobody` does not exist. Valid aliases: tiny."), False),
        (OtherAnswer(400, "max_tokens is too large"), False),
        (OtherAnswer(500, "Internal Server Error"), False),
    ],
)
def test_what_a_server_does_not_do_is_told_from_what_it_does_wrong(answer_: OtherAnswer, *, other: bool) -> None:
    assert answer_.other_question is other


def test_the_status_of_any_answer() -> None:
    assert [status_of(one) for one in (Healthy(), OtherAnswer(503, ""), NoAnswer("refused"))] == [200, 503, None]


# --- what a hostile one answers --------------------------------------------------------------------------------------

FIELDS = [
    *("data", "id", "choices", "message", "content", "tool_calls", "usage", "completion_tokens", "tokens", "version"),
    *("error", "detail", "text", "reasoning", "finish_reason"),
    *("embedding", "index", "results", "relevance_score", "prompt_tokens"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)
REPLIES = st.builds(
    Reply,
    st.sampled_from([None, 200, 200, 200, 301, 400, 401, 404, 500, 501, 999]),
    st.text(max_size=40) | JSON.map(json.dumps) | st.sampled_from(["[" * 990 + "]" * 990, KEY * 9, json.dumps(KEY)]),
    st.booleans(),
)


@given(st.sampled_from(sorted(ASKED)), REPLIES)
def test_whatever_comes_is_one_of_three_and_safe_to_show(request: str, reply: Reply) -> None:
    found = answer(request, reply)
    values = (Healthy, ServerVersion, ServedModels, Metrics, TokenIds, Generation, OtherAnswer, NoAnswer)
    values += (Vectors, Ranking, Labels, Transcript)  # type: ignore[assignment]
    assert isinstance(found, values)
    assert status_of(found) == reply.status
    shown = found.said if isinstance(found, OtherAnswer) else found.why if isinstance(found, NoAnswer) else ""
    assert shown.isprintable()
    assert len(shown) < 400
    assert KEY not in shown
    assert isinstance(found, OtherAnswer | NoAnswer) or (reply.status == 200 and reply.whole)


@pytest.mark.parametrize(
    ("request_", "body", "said"),
    [
        ("GET /v1/models", "", "no JSON (Expecting value at line 1, column 1): "),
        ("GET /v1/models", '{"data": {"id": "a"}}', 'no list of models: {"data": {"id": "a"}}'),
        ("GET /v1/models", "NaN", "no JSON (NaN is no number of JSON): NaN"),
        ("GET /version", '{"version": 3}', 'no version: {"version": 3}'),
        ("GET /version", json.dumps({"version": "\x1b[2J"}), 'no version: {"version": "\\u001b[2J"}'),
        ("POST /tokenize", '{"tokens": [1, -1]}', 'no tokens: {"tokens": [1, -1]}'),
        ("POST /tokenize", '{"tokens": [1, true]}', 'no tokens: {"tokens": [1, true]}'),
        ("POST /v1/completions", '{"choices": []}', 'no choices: {"choices": []}'),
        ("POST /v1/embeddings", '{"data": [{"embedding": [1e300]}]}', 'no vectors: {"data": [{"embedding": [1e300]}]}'),
        ("POST /v1/embeddings", '{"data": [{"embedding": []}]}', 'no vectors: {"data": [{"embedding": []}]}'),
        ("POST /v1/rerank", '{"results": [{"index": 0}]}', 'no scores: {"results": [{"index": 0}]}'),
        ("POST /classify", '{"data": []}', 'no results: {"data": []}'),
        ("POST /v1/audio/transcriptions", '{"text": 7}', 'no text: {"text": 7}'),
    ],
)
def test_an_answer_that_is_none_says_what_is_missing(request_: str, body: str, said: str) -> None:
    assert answer(request_, Reply(200, body)) == OtherAnswer(200, said)


def test_odd_fields_are_not_told_and_no_error() -> None:
    body = {"choices": [{"message": {"content": 7, "reasoning": []}}], "usage": {"completion_tokens": 1e300}}
    found = answer("POST /v1/chat/completions", Reply(200, json.dumps(body)))
    assert found == Generation("", message={"content": 7, "reasoning": []})
    assert answer("GET /v1/models", Reply(200, '{"data": [7, {"id": 7}, {"id": "a"}]}')) == ServedModels(("a",))


def test_many_names_are_shown_in_part() -> None:
    assert str(ServedModels(tuple("abcdefg"))) == "a, b, c, d, e and 2 more"
    assert str(ServedModels(())) == "nothing"
    assert len(str(ServedModels(("x" * 10**6,)))) == 200


@pytest.mark.parametrize("before", range(150, 210, 7))
def test_no_part_of_the_key_is_left_where_a_text_is_cut(before: int) -> None:
    for body in ("x" * before + KEY, json.dumps({"error": {"message": "x" * before + KEY}}), "x" * before + "\ud800"):
        found = answer("GET /health", Reply(500, body))
        assert isinstance(found, OtherAnswer)
        assert "sk-" not in found.said
        assert len(found.said) <= 200


def test_a_text_is_shown_on_one_line_without_its_escapes() -> None:
    assert excerpt("\x1b[2J one\n\n  two\u202e\ud800") == "?[2J one two??"
    assert excerpt(" " * 10**6 + "late") == ""


def test_the_key_is_in_no_representation() -> None:
    assert KEY not in repr(Server(Asked(), "http://server", KEY))


# --- over a network --------------------------------------------------------------------------------------------------


def test_answers_beyond_the_bounds_over_a_network() -> None:
    with hostile(for_ever(OK + b"\r\n", b'{"data": [' + b"[" * 99_990)) as server:
        found = Server(SocketHttp(), server.url).models()
    assert isinstance(found, OtherAnswer)
    assert found.said.startswith('more than is read: {"data": [[[[')
    deep = b"[" * MOST_BYTES
    with hostile(says(OK + f"Content-Length: {len(deep)}\r\n\r\n".encode() + deep)) as server:
        found = Server(SocketHttp(), server.url).models()
    assert isinstance(found, OtherAnswer)
    assert found.said.startswith("more than 500,000 values: [[[")


def test_a_redirect_is_an_answer_and_the_key_stays() -> None:
    with (
        hostile(says(OK + b"\r\n{}")) as thief,
        hostile(says(f"HTTP/1.1 308 Go\r\nLocation: {thief.url}/v1/models\r\n\r\n".encode())) as server,
    ):
        assert Server(SocketHttp(), server.url, KEY).models() == OtherAnswer(308, "")
    assert thief.requests == []


# --- how it asks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", ASKED)
def test_each_question_goes_to_its_route_with_the_key_and_its_time(request_: str) -> None:
    http = Asked()
    assert ASKED[request_](Server(http, "http://server", KEY)) == NoAnswer("Connection refused")
    ((method, url, key, timeout_s, *_),) = http.requests
    assert (f"{method} {str(url).removeprefix('http://server')}", key) == (request_, KEY)
    assert timeout_s == TIMEOUTS_S[Route(request_.split()[1])]


def test_every_route_is_asked_and_has_its_time() -> None:
    assert {request.split()[1] for request in ASKED} == set(Route) == set(TIMEOUTS_S)
    assert set(PROOFS) == set(ServerKind)
    assert set(PROOFS.values()) <= set(OTHERWISE), "what proves one kind may be asked of another"


def test_a_check_gives_its_own_time() -> None:
    http = Asked()
    Server(http, "http://server").chat({}, timeout_s=7.0)
    Server(http, "http://server").complete({}, timeout_s=8.0)
    assert [request[3] for request in http.requests] == [7.0, 8.0]


@dataclass
class Recording(FakeStreams):
    """Streams that keep how they were asked."""

    how: list[tuple[str, str | None, float, int]] = field(default_factory=list)

    def run(
        self,
        url: str,
        bodies: Sequence[Mapping[str, object]],
        *,
        key: str | None = None,
        timeout_s: float,
        most_bytes: int,
    ) -> list[Raw]:
        self.how.append((url, key, timeout_s, most_bytes))
        return super().run(url, bodies, key=key, timeout_s=timeout_s, most_bytes=most_bytes)


def test_streams_go_the_same_way() -> None:
    streams = Recording()
    (found,) = Server(Asked(), "http://server", KEY).stream(streams, [{"max_tokens": 3}], tokens=500)
    assert (found.tokens, found.problem) == (3, "")
    ((url, key, timeout_s, most_bytes),) = streams.how
    assert (url, key, timeout_s) == ("http://server/v1/completions", KEY, STREAM_S)
    events = (RECORDED / "stream.sse").read_bytes()
    assert most_bytes > 2 * 500 * len(events) / events.count(b"data:"), "a real server's chunks are well below it"


AT_THE_GATEWAY = ("operations/gateway/", "operations/page/", "planning/gateway/")


def test_nothing_else_asks_a_server() -> None:
    """Http and the paths of vLLM are used in one module: beside it the simulated server knows them.

    So does the gateway, where clients ask by the same paths; it asks no server by them but through the door.
    """
    found = set()
    routes = {str(route) for route in Route}
    words = {"http", *(route.rpartition("/")[2] for route in routes)}
    for path in MODULES.values():
        module = str(path.relative_to(PACKAGE))
        if module.startswith("world/") or module == "vllm/server.py":
            continue
        if not any(word in text_of(path) for word in words):
            continue  # to walk through every tree takes a second
        for node in nodes_of(path):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"get", "post"}
            ):
                if ast.unparse(node.func.value).endswith("http"):
                    found.add(f"{module}:{node.lineno}")
            elif isinstance(node, ast.Constant) and node.value in routes and not module.startswith(AT_THE_GATEWAY):
                found.add(f"{module}:{node.lineno}")
    assert not found
