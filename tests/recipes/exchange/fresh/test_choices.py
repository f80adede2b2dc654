"""What follows from a model's own files, and what is left out of its recipe."""

from __future__ import annotations

import json
from typing import Any

import pytest
from packaging.version import Version

from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.footprint import Once
from sparkctl.memory.weights.tensors import Tensor
from sparkctl.recipes.exchange.fresh.choices import Setting, decided
from sparkctl.recipes.exchange.fresh.images import HeldImage, ImageOffer, offers, tagged
from sparkctl.recipes.exchange.fresh.material import ModelMaterial
from sparkctl.vllm import flags
from tests.support.paths import FIXTURES

NEWEST = flags.releases()[-1]
IMAGE = ImageOffer("a/b:v1", NEWEST, "asked")


def model(
    name: str, *, tensors: tuple[str, ...] = ("model.w",), texts: dict[str, bytes] | None = None
) -> ModelMaterial:
    config = json.loads((FIXTURES / "configs" / name / "config.json").read_text())
    shapes = tuple(Tensor(one, "BF16", (8,), 16) for one in tensors)
    facts = ModelFacts.model_construct(config=config, config_source=name, tensors=shapes, tensors_source=name)
    return ModelMaterial("acme/Model", facts, Once(facts), "its files", texts=texts)


def keys(of: ModelMaterial, **at: object) -> dict[str, Any]:
    given: dict[str, Any] = {"written": None, "template": None, "gb10": True, **at}
    lines, _ = decided(of, Setting("mine", IMAGE, NEWEST, **given))
    return {".".join(line.path): line.value for line in lines}


def left(of: ModelMaterial, **at: object) -> dict[str, str]:
    given: dict[str, Any] = {"written": None, "template": None, "gb10": True, **at}
    return {one.key: one.why for one in decided(of, Setting("mine", IMAGE, NEWEST, **given))[1]}


def test_nvfp4_gets_marlin_on_a_gb10_for_experts_and_for_the_rest_and_elsewhere_nothing() -> None:
    dense, experts = model("gemma4-26b-nvfp4-text"), model("nemotron-3-nano-30b-a3b-nvfp4")
    found = [{key for key in keys(one) if key.startswith("backend")} for one in (dense, experts)]
    assert all("backend.moe" in one for one in found)
    assert not any(key.startswith("backend") for key in keys(experts, gb10=False))
    assert "no GB10" in left(experts, gb10=False)["backend"]
    assert not any(key.startswith("backend") for key in keys(model("qwen3.6-27b-fp8")))


def test_drafting_layers_are_used_where_their_weights_are_there() -> None:
    name = "qwen3.6-35b-a3b"
    with_weights, without = model(name, tensors=("mtp.layers.0.w",)), model(name)
    assert keys(with_weights)["speculative.num_speculative_tokens"] == 1
    assert "has no weights of them" in left(without)["speculative"]
    assert "were not wanted" in left(with_weights, drafts=False)["speculative"]
    deepseek = model("deepseek-v3", tensors=("model.layers.61.mlp.w",))
    assert keys(deepseek)["speculative.method"] == "mtp", "a layer beyond those that write"
    assert "speculative.method" not in keys(model("qwen3-8b"))


def test_what_it_takes_in_beside_text_has_limits_and_a_base_model_is_no_chat() -> None:
    assert keys(model("gemma4-e4b-mm"))["limits.multimodal"] == {"image": 4, "video": 1, "audio": 1}
    assert "limits.multimodal" not in keys(model("qwen3-8b"))
    assert keys(model("qwen3-8b", texts={}))["model.chat"] is False
    assert "model.chat" not in keys(model("qwen3-8b"))


def test_an_embedder_has_no_parsers_and_no_limits_of_a_writer() -> None:
    config = json.loads((FIXTURES / "configs" / "qwen3-8b" / "config.json").read_text())
    facts = ModelFacts.model_construct(config={**config, "architectures": ["Qwen3Model"]}, tensors=())
    found = keys(ModelMaterial("acme/Embed", facts, Once(facts), "its files"))
    assert not [key for key in found if key.startswith(("args", "limits"))]


def test_a_mistral_without_a_template_is_no_base_model() -> None:
    mistral = model("mistral-small-3.1-24b", texts={})
    assert mistral.template is None
    assert "model.chat" not in keys(mistral)
    assert keys(mistral)["args.tool-call-parser"] == "mistral"


@pytest.mark.parametrize(
    ("texts", "template"),
    [
        (None, None),
        ({}, ""),
        ({"chat_template.jinja": b"A"}, "A"),
        ({"chat_template.json": b'{"chat_template": "B"}'}, "B"),
        ({"tokenizer_config.json": b'{"chat_template": "C"}'}, "C"),
        ({"tokenizer_config.json": b'{"chat_template": [{"name": "default", "template": "D"}]}'}, "D"),
        ({"tokenizer_config.json": b"{"}, ""),
        ({"tokenizer_config.json": b'{"chat_template": 7}'}, ""),
    ],
)
def test_the_chat_template_is_in_one_of_three_files(texts: dict[str, bytes] | None, template: str | None) -> None:
    assert model("qwen3-8b", texts=texts).template == template


def test_the_newest_release_that_knows_the_architecture_is_offered_first() -> None:
    held = HeldImage("vllm/vllm-openai:v0.32.0", Version("0.32.0"), "here")
    found = offers("Qwen3ForCausalLM", [held, HeldImage("own:1", None, "here")])
    assert [one.image for one in found] == [f"vllm/vllm-openai:v{NEWEST}", "vllm/vllm-openai:v0.32.0"]
    old = HeldImage("vllm/vllm-openai:v0.18.1", Version("0.18.1"), "here")
    assert len(offers("Gemma4ForConditionalGeneration", [old])) == 1, "it is older than the class"
    assert offers("NothingForCausalLM", [held]) == []
    assert tagged("vllm/vllm-openai:v0.25.1-cu130") == Version("0.25.1")
    assert tagged("nvcr/vllm:26.08-py3") is None
