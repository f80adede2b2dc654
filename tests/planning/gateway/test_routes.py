"""A route of two services: when the second one is asked, by the request's own facts and by the first one's answer."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sparkctl.planning.box.declared import DeclaredRoute
from sparkctl.planning.gateway.routes import (
    Escalated,
    RoutedService,
    RouteFacts,
    RouteState,
    after,
    before,
    facts_of,
    judged,
    why_no_wish,
)
from sparkctl.recipes.stack_parts.gateway import REASONS
from tests.support.paths import FIXTURES

AUTO = DeclaredRoute("auto", "executor", "reasoner", REASONS, start=False, waiting=4)
CHAT = RouteFacts("/v1/chat/completions")
SMALL, LARGE = RoutedService(RouteState.READY, 0, 16384), RoutedService(RouteState.READY, 0, 65536)
TOO_LONG = (
    "This model's maximum context length is 1024 tokens. However, your prompt contains at least 1025 input tokens"
)


def answer(**message: Any) -> bytes:  # noqa: ANN401  (any JSON)
    finish = message.pop("finish", "stop")
    return json.dumps({"choices": [{"message": {"role": "assistant", **message}, "finish_reason": finish}]}).encode()


def error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "BadRequestError", "code": 400}}).encode()


def call(arguments: object) -> list[dict[str, Any]]:
    return [{"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}]


def test_the_reasons_of_a_file_are_those_that_there_are() -> None:
    assert set(REASONS) == set(Escalated)


# --- before ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "first", "expected"),
    [
        (CHAT, SMALL, "executor first"),
        (CHAT._replace(wish="then"), SMALL, "reasoner asked"),
        (CHAT._replace(wish="reasoner"), SMALL, "reasoner asked"),
        (CHAT._replace(wish="first"), SMALL._replace(state=RouteState.DOWN), "executor first"),
        (CHAT, SMALL._replace(state=RouteState.DOWN), "reasoner down"),
        (CHAT, SMALL._replace(state=RouteState.COMING), "executor first"),
        (CHAT, SMALL._replace(waiting=4), "executor first"),
        (CHAT, SMALL._replace(waiting=5), "reasoner busy"),
    ],
)
def test_the_second_is_asked_for_a_reason(facts: RouteFacts, first: RoutedService, expected: str) -> None:
    found = before(AUTO, facts, first, LARGE)
    assert f"{found.service} {found.told}" == expected


@pytest.mark.parametrize(
    ("state", "start", "expected"),
    [
        (RouteState.COMING, False, "executor first; missed=asked"),
        (RouteState.COMING, True, "reasoner asked"),
        (RouteState.DOWN, True, "executor first; missed=asked"),
    ],
)
def test_a_second_that_does_not_run_is_started_only_by_a_route_that_says_so(
    state: RouteState, start: bool, expected: str
) -> None:
    found = before(replace(AUTO, start=start), CHAT._replace(wish="then"), SMALL, LARGE._replace(state=state))
    assert f"{found.service} {found.told}" == expected


def test_a_reason_that_the_route_has_not_is_none() -> None:
    route = replace(AUTO, when=("down",))
    assert before(route, CHAT._replace(wish="then"), SMALL._replace(waiting=9), LARGE).told == "first"
    assert after(route, CHAT, (SMALL, LARGE), 400, error(TOO_LONG)).told == "first"
    assert after(route, CHAT, (SMALL, LARGE), 503, b"").told == "down"


def test_a_wish_comes_by_header_or_metadata() -> None:
    by_header = facts_of("/v1/chat/completions", {}, {"x-sparkctl-route": " then "}, stream=True)
    assert by_header == RouteFacts("/v1/chat/completions", stream=True, wish="then")
    document = {"metadata": {"sparkctl-route": "first"}, "max_tokens": None, "max_completion_tokens": 9}
    assert facts_of("/", document, {}, stream=False) == RouteFacts("/", wish="first", bound=9)
    assert facts_of("/", {"metadata": [3]}, {}, stream=False) == RouteFacts("/")


def test_a_wish_that_is_none_is_said() -> None:
    told = "x-sparkctl-route: expected first, then, executor or reasoner for the model auto, found 'seconds'"
    assert why_no_wish(AUTO, CHAT._replace(wish="seconds")) == told
    assert why_no_wish(AUTO, CHAT._replace(wish="reasoner")) == ""
    assert "its `when` has no asked" in why_no_wish(replace(AUTO, when=("down",)), CHAT._replace(wish="then"))


# --- refusals --------------------------------------------------------------------------------------------------------


def test_every_refusal_of_a_real_vllm_is_judged() -> None:
    refused = json.loads((FIXTURES / "vllm-0.32-cpu" / "refused-requests.json").read_text())
    found = {}
    for one in refused:
        document = one["body"] if isinstance(one["body"], dict) else {}
        facts = facts_of(one["path"], document, {}, stream=False)
        said = one["answer"].get("error", {}).get("message", "")
        found[said.partition(".")[0]] = judged(facts, one["status"], json.dumps(one["answer"]).encode())
    context = {said for said, why in found.items() if why is Escalated.CONTEXT}
    assert context == {said for said in found if "maximum context length" in said or "max_model_len" in said}
    assert {why for said, why in found.items() if said not in context} == {None}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (TOO_LONG, Escalated.CONTEXT),
        ("The decoder prompt (length 5000) is longer than the maximum model length of 4096.", Escalated.CONTEXT),
        ("max_tokens must be at least 1, got -46771. (parameter=max_tokens, value=-46771)", Escalated.CONTEXT),
        ("gemma is not a multimodal model", Escalated.IMAGES),
        ("At most 0 image(s) may be provided in one prompt. (parameter=image)", Escalated.IMAGES),
        ("At most 1 image(s) may be provided in one request.", Escalated.IMAGES),
        ("temperature must be non-negative", None),
    ],
)
def test_a_refusal_says_why(message: str, expected: Escalated | None) -> None:
    assert judged(CHAT._replace(stream=True), 400, error(message)) is expected
    assert judged(CHAT, 400, json.dumps({"object": "error", "message": message}).encode()) is expected


def test_a_bound_that_the_client_chose_wrongly_is_its_own() -> None:
    said = error("max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)")
    assert judged(CHAT._replace(bound=0), 400, said) is None
    assert judged(CHAT._replace(bound=8), 400, said) is Escalated.CONTEXT


def test_what_is_too_long_goes_only_to_one_that_takes_more() -> None:
    def told(first: RoutedService, then: RoutedService) -> str:
        return after(AUTO, CHAT, (first, then), 400, error(TOO_LONG)).told

    assert told(SMALL, LARGE) == "context"
    assert told(LARGE, SMALL) == "first"
    assert told(SMALL, SMALL) == "first"
    assert told(SMALL, LARGE._replace(context=None)) == "context"
    assert told(SMALL, LARGE._replace(state=RouteState.COMING)) == "first; missed=context"


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (answer(content="hello"), None),
        (answer(content=" \n"), Escalated.EMPTY),
        (answer(content=None, reasoning_content="hm"), Escalated.EMPTY),
        (answer(content=None, refusal="no"), None),
        (answer(content=None, tool_calls=call('{"a": 1}')), None),
        (answer(content=None, tool_calls=call("{}")), None),
        (answer(content=None, tool_calls=call('{"a": 1')), Escalated.TOOLS_BROKEN),
        (answer(content=None, tool_calls=call("3")), Escalated.TOOLS_BROKEN),
        (answer(content="x", tool_calls=call("")), Escalated.TOOLS_BROKEN),
        (answer(content="x", tool_calls=call(None)), Escalated.TOOLS_BROKEN),
        (answer(content="half of", finish="length"), Escalated.CUT),
        (b"{}", None),
        (b'{"choices": []}', None),
        (b'{"choices": 3}', None),
        (b"no JSON", None),
        (b"[" * 100_000, None),
    ],
)
def test_an_answer_of_a_chat_is_judged(body: bytes, expected: Escalated | None) -> None:
    assert judged(CHAT, 200, body) is expected
    assert judged(CHAT._replace(stream=True), 200, body) is None


def test_what_the_client_cut_itself_is_not_judged() -> None:
    assert judged(CHAT._replace(bound=1), 200, answer(content="", finish="length")) is None
    assert judged(CHAT._replace(bound=9), 200, answer(content=None, tool_calls=call("{"), finish="length")) is None
    assert judged(CHAT._replace(bound=9), 200, answer(content="")) is Escalated.EMPTY


@pytest.mark.parametrize(
    ("path", "document", "expected"),
    [
        ("/v1/completions", {"choices": [{"text": "x", "finish_reason": "stop"}]}, None),
        ("/v1/completions", {"choices": [{"text": "", "finish_reason": "stop"}]}, Escalated.EMPTY),
        ("/v1/completions", {"choices": [{"text": "x"}, {"text": "x", "finish_reason": "length"}]}, Escalated.CUT),
        ("/v1/messages", {"type": "message", "content": [{"type": "text", "text": "x"}]}, None),
        ("/v1/messages", {"type": "message", "content": []}, Escalated.EMPTY),
        ("/v1/messages", {"type": "message", "content": [{"type": "tool_use", "input": {}}]}, None),
        ("/v1/messages", {"type": "message", "content": [], "stop_reason": "max_tokens"}, Escalated.CUT),
        ("/v1/responses", {"status": "completed", "output": [{"type": "reasoning"}]}, Escalated.EMPTY),
        ("/v1/responses", {"status": "queued", "output": []}, None),
        ("/v1/responses", {"status": "incomplete", "output": []}, Escalated.CUT),
        (
            "/v1/responses",
            {"status": "completed", "output": [{"type": "function_call", "arguments": "{"}]},
            Escalated.TOOLS_BROKEN,
        ),
        (
            "/v1/responses",
            {"status": "completed", "output": [{"type": "message", "content": [{"type": "output_text", "text": "x"}]}]},
            None,
        ),
        ("/v1/embeddings", {"data": []}, None),
    ],
)
def test_answers_of_the_other_forms_are_judged(path: str, document: dict[str, Any], expected: Escalated | None) -> None:
    assert judged(RouteFacts(path), 200, json.dumps(document).encode()) is expected


def test_no_answer_and_one_of_a_broken_server_are_down() -> None:
    assert judged(CHAT._replace(stream=True), None, b"connection refused") is Escalated.DOWN
    assert judged(CHAT, 500, b"<html>") is Escalated.DOWN
    assert judged(CHAT, 404, error("no such model")) is None
    assert judged(CHAT, 429, b"") is None


def test_who_asked_for_the_first_gets_its_answer_as_it_is() -> None:
    assert after(AUTO, CHAT._replace(wish="first"), (SMALL, LARGE), 200, answer(content="")).told == "first"
