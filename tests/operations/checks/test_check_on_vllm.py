"""`sparkctl check` and the client that asks for it, on the real vLLM with a random model and a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.vllm.answers import (
    Generation,
    Healthy,
    NoAnswer,
    OtherAnswer,
    ServedModels,
    ServerVersion,
    TokenIds,
    status_of,
)
from sparkctl.vllm.metrics import Metrics
from sparkctl.world.local.stream_client import AsyncStreams
from tests.support.vllm_machine import VERSION

if TYPE_CHECKING:
    from tests.support.vllm_machine import Machine, Served

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]

COMPLETION = {"model": "tiny", "prompt": "1 2 3", "max_tokens": 5, "ignore_eos": True}
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "1 2 3"}], "max_tokens": 5, "ignore_eos": True}


def test_every_question_of_the_client_is_answered(served: Served) -> None:
    server = served.server()
    assert server.health() == Healthy()
    assert server.version() == ServerVersion(VERSION)
    assert server.models() == ServedModels(("tiny",))
    tokens = server.tokenize("tiny", "1 2 3")
    assert isinstance(tokens, TokenIds)
    assert len(tokens.ids) == 5
    for generated in (server.complete(COMPLETION), server.chat(CHAT)):
        assert isinstance(generated, Generation)
        assert (generated.tokens, generated.finish) == (5, "length")
        assert generated.text
    counted = server.metrics()
    assert isinstance(counted, Metrics)
    assert counted.generation_tokens is not None
    assert counted.generation_tokens >= 10


def test_streams_are_counted_by_the_same_client(served: Served) -> None:
    body = {**COMPLETION, "stream": True, "stream_options": {"include_usage": True}}
    found = served.server().stream(AsyncStreams(), [body, body], tokens=5)
    assert [(one.tokens, one.prompt_tokens, one.counted, one.problem) for one in found] == [(5, 5, True, "")] * 2
    (refused,) = served.server("sk-another").stream(AsyncStreams(), [body], tokens=5)
    assert refused.problem == "the server answered 401: Unauthorized"


@pytest.mark.parametrize("key", [None, "sk-another", "sk-fur-tiny"])
def test_without_its_key_a_server_says_that_it_wants_one(served: Served, key: str | None) -> None:
    server = served.server(key)
    assert server.health() == Healthy(), "vLLM guards what begins with /v1"
    for found in (server.models(), server.complete(COMPLETION), server.chat(CHAT)):
        assert found == OtherAnswer(401, "Unauthorized")
        assert found.wants_key


def test_what_a_server_refuses_it_says_in_its_own_words(served: Served) -> None:
    server = served.server()
    another = server.complete({**COMPLETION, "model": "nobody"})
    assert isinstance(another, OtherAnswer)
    assert another.not_here
    assert another.said.startswith("The model `nobody` does not exist.")
    long = server.chat({**CHAT, "max_tokens": 4000})
    assert isinstance(long, OtherAnswer)
    assert (long.status, "max_model_len=1024" in long.said) == (400, True)
    assert status_of(server.tokenize("nobody", "1")) == 404
    assert isinstance(server.complete({**COMPLETION, "max_tokens": 900}, timeout_s=0.01), NoAnswer)


def test_random_weights_answer_in_the_protocol_and_fail_what_has_a_right_answer(
    machine: Machine, served: Served
) -> None:
    name = served.name
    assert "check answers" in [moment.get("phase") for moment in served.moments]
    assert served.told[-1] == f"{name}: ready at {served.url}"

    # Greedy decoding is the same twice; the evidence is what the server said.
    first, again = (machine.run("check", name, "--only", "answers", "--json").expect(0).json for _ in range(2))
    assert first[0]["requests"] == again[0]["requests"]
    assert all(request["answer"] for request in first[0]["requests"])

    checked = machine.run("check", name, "--only", "text,parallel,arithmetic,json,tools,image,long", "--json").expect(7)
    verdicts = {row["check"]: (row["verdict"], row["reason"]) for row in checked.json}
    for wrong in ("text", "parallel", "arithmetic", "json"):
        assert verdicts[wrong][0] == "fail"
        assert not verdicts[wrong][1].startswith("answer: no answer"), verdicts[wrong]
        assert "HTTP" not in verdicts[wrong][1], verdicts[wrong]
    for skipped in ("tools", "image", "long"):
        assert verdicts[skipped][0] == "skipped"

    # Guided decoding is the server's: random weights write what the schema accepts, or are cut off on the way.
    guided = machine.run("check", name, "--only", "json-guided", "--json").json[0]
    (finding,) = guided["requests"][0]["findings"]
    assert finding["assertion"] == "json-schema", guided
    assert guided["requests"][0]["answer"].startswith("{"), guided

    # A base model is asked by completions, over the same server.
    path = machine.folder / "recipes" / f"{name}.yaml"
    text = path.read_text()
    try:
        path.write_text(text.replace("mount: /models/tiny}", "mount: /models/tiny, chat: false}"))
        base = machine.run("check", name, "--only", "answers,json", "--json").expect(0).json
    finally:
        path.write_text(text)
    assert [row["verdict"] for row in base] == ["pass", "skipped"]
