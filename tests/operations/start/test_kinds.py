"""Healthy servers are not torn down by a question that is none of theirs: those that embed, think, transcribe."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.world.web import Reply, Upload
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeHttp

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = "vllm/vllm-openai:v0.20.2"
RECIPE = """\
template: vllm-openai
image: {image}
vllm: "0.20.2"
model: {{repo: example-lab/one, facts: gemma-4-e4b}}
serve: {{name: one, port: 18511}}
limits: {{context: 8192}}
"""
NOT_FOUND = (404, {"detail": "Not Found"})
EMBEDS = {
    "/v1/embeddings": (200, {"data": [{"index": 0, "embedding": [0.1, -0.2]}], "usage": {"prompt_tokens": 4}}),
}
OLDER = (400, {"error": {"message": "The model does not support Completions API", "code": 400}})
TOKENS = (200, {"choices": [{"text": "", "finish_reason": "length"}], "usage": {"completion_tokens": 4}})
THOUGHT = {"role": "assistant", "content": None, "reasoning": "The user wants a capital. France, so I should"}


@dataclass
class Answering(FakeHttp):
    """A healthy server that has an answer for some paths, and the same for all others."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    otherwise: tuple[int, Any] = NOT_FOUND
    posted: list[tuple[str, object]] = field(default_factory=list)

    def post(self, url: str, body: object, *, key: str | None = None, timeout_s: float = 60.0) -> Reply:
        path = f"/{url.partition('://')[2].partition('/')[2]}"
        self.posted.append((path, body))
        status, value = self.answers.get(path, self.otherwise)
        return Reply(status, json.dumps(value))

    def paths(self) -> list[str]:
        """Return what was posted to, in order."""
        return [path for path, _ in self.posted]


def spark_with(tmp_path: Path, http: Answering, more: str = "") -> FakeSpark:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "one.yaml").write_text(RECIPE.format(image=IMAGE) + more)
    spark = FakeSpark(tmp_path, http=http)
    http.serving["127.0.0.1:18511"] = "one"
    spark.models.cache.add("example-lab/one")
    spark.engine.images[IMAGE] = {}
    return spark


@pytest.mark.parametrize("otherwise", [NOT_FOUND, OLDER, (501, {"error": {"message": "not implemented"}})])
def test_an_embedding_server_is_asked_for_a_vector(tmp_path: Path, otherwise: tuple[int, Any]) -> None:
    http = Answering(answers=EMBEDS, otherwise=otherwise)
    spark = spark_with(tmp_path, http, "args: {runner: pooling}\n")
    done = spark.run("up", "one").expect(0)
    assert "one: ready at http://127.0.0.1:18511" in done.err
    assert http.paths() == ["/v1/embeddings"], "and for nothing else"
    assert "warning" not in done.err


def test_an_embedding_server_whose_recipe_does_not_say_so_stays_up(tmp_path: Path) -> None:
    http = Answering(answers=EMBEDS)
    done = spark_with(tmp_path, http).run("up", "one").expect(0)
    assert "it embeds texts, where its recipe says that it writes text: with args: {runner: pooling}" in done.err
    assert "ready at" in done.err


def test_a_healthy_server_without_any_known_path_stays_up(tmp_path: Path) -> None:
    spark = spark_with(tmp_path, Answering())
    done = spark.run("up", "one").expect(0)
    assert "answers none of the questions that sparkctl knows" in done.err
    assert len(spark.engine.containers()) == 1


def test_a_server_that_transcribes_is_given_a_recording(tmp_path: Path) -> None:
    http = Answering(answers={"/v1/audio/transcriptions": (200, {"text": ""})})
    spark_with(tmp_path, http, "args: {task: transcription}\n").run("up", "one").expect(0)
    ((_, form),) = http.posted
    assert isinstance(form, Upload)
    assert form.content.startswith(b"RIFF")


def test_a_model_that_thinks_may_think(tmp_path: Path) -> None:
    chat = (200, {"choices": [{"message": THOUGHT, "finish_reason": "length"}], "usage": {"completion_tokens": 2112}})
    http = Answering(answers={"/v1/completions": TOKENS, "/v1/chat/completions": chat})
    spark = spark_with(tmp_path, http, "args: {reasoning-parser: qwen3}\nchecks: [text]\n")
    done = spark.run("up", "one").expect(0)
    assert "one: check text skipped: it still thought after 2112 tokens" in done.err
    assert "ready at" in done.err
    body = dict(http.posted)["/v1/chat/completions"]
    assert isinstance(body, dict)
    assert (body["max_tokens"], body["chat_template_kwargs"]["enable_thinking"]) == (64 + 2048, False)


def test_a_thought_has_no_more_room_than_the_context(tmp_path: Path) -> None:
    chat = (200, {"choices": [{"message": {"content": "Paris"}}], "usage": {"completion_tokens": 9}})
    http = Answering(answers={"/v1/completions": TOKENS, "/v1/chat/completions": chat})
    args = "args: {reasoning-parser: qwen3}\nchecks: [text]\n"
    spark_with(tmp_path, http, args).run("up", "one", "--set", "limits.context=1024").expect(0)
    body = dict(http.posted)["/v1/chat/completions"]
    assert isinstance(body, dict)
    prompt = len(body["messages"][0]["content"])
    assert body["max_tokens"] == 1024 - prompt


def test_a_model_that_does_not_think_gets_what_it_was_asked_for(tmp_path: Path) -> None:
    http = Answering(answers={"/v1/completions": TOKENS, "/v1/chat/completions": TOKENS})
    spark_with(tmp_path, http, "checks: [text]\n").run("up", "one").expect(7)
    body = dict(http.posted)["/v1/chat/completions"]
    assert isinstance(body, dict)
    assert body["max_tokens"] == 64
    assert "chat_template_kwargs" not in body


NO_TEMPLATE = (
    "default chat template is no longer allowed, so you must provide a chat template if the tokenizer does not"
)


@pytest.mark.parametrize(
    ("chat", "told"),
    [
        ((400, {"error": {"message": NO_TEMPLATE, "code": 400}}), "a base model has model: {chat: false}"),
        (NOT_FOUND, "it does not do what it was asked: HTTP 404: Not Found"),
    ],
)
def test_a_model_that_cannot_chat_is_not_torn_down_by_a_check(tmp_path: Path, chat: tuple[int, Any], told: str) -> None:
    http = Answering(answers={"/v1/completions": TOKENS, "/v1/chat/completions": chat})
    done = spark_with(tmp_path, http, "checks: [text]\n").run("up", "one").expect(0)
    assert "one: check text skipped: it does not do what it was asked: HTTP" in done.err
    assert told in done.err


def test_a_check_for_another_kind_is_skipped_and_does_not_count(tmp_path: Path) -> None:
    http = Answering(answers=EMBEDS)
    spark = spark_with(tmp_path, http, "args: {runner: pooling}\nchecks: [text]\n")
    done = spark.run("up", "one").expect(0)
    assert "check text skipped: it embeds texts, and the check is for one that writes text" in done.err


def test_bench_of_what_it_does_not_measure_is_refused(tmp_path: Path) -> None:
    http = Answering(answers={"/classify": (200, {"data": [{"label": "a"}]})})
    spark = spark_with(tmp_path, http, "args: {convert: classify}\n")
    spark.run("up", "one").expect(0)
    assert "it classifies texts, and bench measures what writes" in spark.run("bench", "one").expect(5).err
    assert "it classifies texts, and no check is for that" in spark.run("check", "one").expect(0).err
