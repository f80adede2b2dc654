"""Weights: from config.json alone, and from the headers of safetensors."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from sparkctl.base.errors import InputError
from sparkctl.base.units import GIB
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.weights.built import built
from sparkctl.memory.weights.load_options import LoadOptions
from sparkctl.memory.weights.loaded import weights
from sparkctl.memory.weights.parameters import parts
from sparkctl.memory.weights.tensors import Tensor, component_of, loaded
from sparkctl.recipes.catalog import Catalog, Root, shipped_root
from tests.support.paths import TESTS
from tests.support.thorough import examples

HERE = TESTS
PARAMETERS: dict[str, int] = yaml.safe_load((HERE / "golden/weights/parameters.yaml").read_text())
V20, V32 = Version("0.20.2"), Version("0.32.0")


def config(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((HERE / "fixtures/configs" / name / "config.json").read_text())
    return read


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_parameters_of_a_config_are_those_of_vllms_own_classes(name: str) -> None:
    counted = sum(part.parameters * part.count for part in parts(config(name), V32) if part.component != "draft")
    assert counted == pytest.approx(PARAMETERS[name], rel=0.002)


@pytest.mark.parametrize(
    ("facts", "repo", "quantization", "logged", "within"),
    [
        ("gemma-4-e4b", "google/gemma-4-E4B-it", None, 15.0, 0.05),
        ("gemma-4-e4b", "google/gemma-4-E4B-it", "fp8", 11.4, 0.05),
        ("gemma-4-e4b", "coolthor/Gemma-4-E4B-it-NVFP4A16", "compressed-tensors", 9.8, 0.05),
        ("gemma-4-26b-a4b", "bg-digitalservices/Gemma-4-26B-A4B-it-NVFP4", "modelopt", 15.7, 0.05),
        ("gemma-4-e2b", "bg-digitalservices/Gemma-4-E2B-NVFP4A16", "modelopt", 7.5, 0.1),
    ],
)
def test_what_was_logged_on_a_spark_follows_from_the_geometry(
    facts: str, repo: str, quantization: str | None, logged: float, within: float
) -> None:
    known = Catalog([Root(shipped_root(), "shipped")]).load("facts", facts, ModelFacts)
    alone = known.model_copy(update={"loaded": []})
    computed = weights(alone, LoadOptions(Version("0.19.1"), quantization), repo)
    assert computed.source == "computed from config.json alone"
    assert computed.bytes / GIB == pytest.approx(logged, rel=within)
    assert sum(computed.by_component.values()) == sum(computed.by_dtype.values()) == computed.bytes


def test_layers_that_share_their_cache_have_the_query_alone_since_0_30() -> None:
    whole, query = (built(config("gemma4-e4b-text"), LoadOptions(Version(v))).bytes for v in ("0.28.0", "0.30.0"))
    # 15 sliding and 3 full layers without their keys and values.
    assert whole - query == 2 * 2560 * 2 * 2 * (15 * 256 + 3 * 512)


def test_towers_and_drafting_layers_are_skipped_unless_wanted() -> None:
    text = built(config("qwen3.6-35b-a3b"), LoadOptions(V20, language_model_only=True))
    drafting = built(config("qwen3.6-35b-a3b"), LoadOptions(V20, drafting_mtp=True))
    assert set(text.skipped) == {"vision", "draft"}
    assert not drafting.skipped
    assert text.bytes / GIB == pytest.approx(64.69, rel=0.001)  # djangodevreng/dgx-spark-benchmarks


@pytest.mark.parametrize(
    ("quantization", "dtype", "gib"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "F8_E4M3", 8.82),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "I4", 5.7),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}, "I4", 5.67),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": ["lm_head"]}, "NVFP4", 5.98),
        (
            {"quant_method": "compressed-tensors", "format": "float-quantized", "ignore": ["re:.*self_attn.*"]},
            "F8_E4M3",
            10.2,
        ),
        ({"quant_method": "something-new"}, "BF16", 15.27),
    ],
)
def test_a_quantized_checkpoint_is_as_wide_as_its_config_says(
    quantization: dict[str, Any], dtype: str, gib: float
) -> None:
    made = built({**config("qwen3-8b"), "quantization_config": quantization}, LoadOptions(V20))
    assert made.bytes / GIB == pytest.approx(gib, rel=0.01)
    assert dtype in made.by_dtype
    assert bool(made.warnings) == (quantization["quant_method"] == "something-new")


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("model.language_model.embed_tokens_per_layer.weight", "per-layer embedding"),
        ("model.language_model.layers.3.self_attn.q_proj.weight", "linear"),
        ("model.layers.0.mlp.experts.7.down_proj.weight_packed", "experts"),
        ("model.layers.0.mlp.experts.gate_up_proj_blocks", "experts"),
        ("model.layers.0.block_sparse_moe.gate.weight", "router"),
        ("model.layers.0.mlp.gate_proj.weight", "linear"),
        ("model.vision_tower.encoder.layers.1.mlp.fc1.weight", "vision"),
        ("model.visual.blocks.0.attn.qkv.weight", "vision"),
        ("model.audio_tower.layers.0.self_attn.q_proj.weight", "audio"),
        ("mtp.layers.0.mlp.experts.0.up_proj.weight", "draft"),
        ("model.layers.61.eh_proj.weight", "draft"),
        ("backbone.layers.4.mixer.in_proj.weight", "linear"),
        ("backbone.embeddings.weight", "embedding"),
        ("model.layers.0.input_layernorm.weight", "norm"),
        ("lm_head.weight", "embedding"),
        ("something.nobody.knows", "other"),
    ],
)
def test_a_tensor_belongs_to_a_component(name: str, component: str) -> None:
    assert component_of(name, 61) == component


HEADERS = (
    Tensor("model.embed_tokens.weight", "BF16", (100, 8), 1600),
    Tensor("lm_head.weight", "BF16", (100, 8), 1600),
    Tensor("model.layers.0.mlp.up_proj.weight", "BF16", (8, 8), 128),
    Tensor("model.visual.blocks.0.attn.qkv.weight", "BF16", (8, 8), 128),
    Tensor("mtp.layers.0.mlp.up_proj.weight", "BF16", (8, 8), 128),
    Tensor("model.layers.0.input_layernorm.weight", "F32", (8,), 32),
)


def test_what_vllm_does_not_load_is_told_by_its_reason() -> None:
    options = LoadOptions(V20, quantization="fp8", language_model_only=True)
    read = loaded(HEADERS, {"tie_word_embeddings": True, "num_hidden_layers": 1}, options)
    assert read.checkpoint_bytes == 3616
    assert read.skipped == {"the head, which is the embedding": 1600, "vision tower": 128, "drafting layers": 128}
    assert read.by_component == {"embedding": 1600, "linear": 64, "norm": 32}
    assert read.by_dtype == {"BF16": 1600, "F8_E4M3": 64, "F32": 32}


def test_keys_and_values_that_no_layer_uses_are_left_out_since_0_30() -> None:
    names = [f"model.language_model.layers.{layer}.self_attn.{part}_proj.weight" for layer in (0, 41) for part in "qkv"]
    tensors = [Tensor(name, "BF16", (8, 8), 128) for name in names]
    text = {"model_type": "gemma4_text", "num_hidden_layers": 42, "num_kv_shared_layers": 18}
    versions = ("0.29.0", "0.30.0")
    sizes = {one: loaded(tensors, {"text_config": text}, LoadOptions(Version(one))) for one in versions}
    assert (sizes["0.29.0"].bytes, sizes["0.30.0"].bytes) == (6 * 128, 4 * 128)
    assert sizes["0.30.0"].skipped == {"keys and values of layers that read another's": 256}


@given(
    st.lists(
        st.tuples(
            st.sampled_from([tensor.name for tensor in HEADERS]),
            st.sampled_from(["BF16", "F32", "U8"]),
            st.integers(0, 10**6),
        ),
        max_size=20,
    ),
    st.booleans(),
    st.sampled_from([None, "fp8"]),
)
def test_components_and_dtypes_divide_the_same_sum(
    headers: list[tuple[str, str, int]], text_only: bool, quantization: str | None
) -> None:
    tensors = [Tensor(name, dtype, (count, 1), 4 * count) for name, dtype, count in headers]
    read = loaded(tensors, {"num_hidden_layers": 1}, LoadOptions(V20, quantization, language_model_only=text_only))
    assert sum(read.by_component.values()) == sum(read.by_dtype.values()) == read.bytes
    assert read.bytes + sum(read.skipped.values()) <= read.checkpoint_bytes == sum(one.bytes for one in tensors)


ODD: list[Any] = [
    None,
    0,
    -1,
    1,
    3,
    True,
    "x",
    "",
    [],
    {},
    [1, 2],
    1.5,
    10**12,
    2**31,
    "bfloat16",
    {"quant_method": "awq"},
]
CONFIGS = [json.loads(path.read_text()) for path in sorted((HERE / "fixtures/configs").glob("*/config.json"))]


def damaged(random: Random) -> dict[str, Any]:
    """Return a real config with one to three keys missing, or with a value that makes no sense."""
    changed: dict[str, Any] = json.loads(json.dumps(random.choice(CONFIGS)))
    parts = [changed, *(part for part in changed.values() if isinstance(part, dict))]
    for _ in range(random.randint(1, 3)):
        part = random.choice(parts)
        name = random.choice(
            [*part, "quantization_config", "tie_word_embeddings", "num_kv_shared_layers", "model_type"]
        )
        if random.random() < 0.3:
            part.pop(name, None)
        else:
            part[name] = random.choice(ODD)
    return changed


def test_a_damaged_config_is_counted_or_refused_and_never_a_crash() -> None:
    counted = 0
    seeds = examples(3000)
    for seed in range(seeds):
        random = Random(seed)  # noqa: S311  (no secret)
        options = LoadOptions(random.choice([V20, V32]), random.choice([None, "fp8", "awq"]))
        try:
            made = built(damaged(random), options)
        except InputError as error:
            assert error.message.startswith("config: ")  # noqa: PT017  (both ends are right)
            continue
        assert sum(made.by_component.values()) == sum(made.by_dtype.values())
        counted += 1
    assert seeds // 6 < counted < seeds - seeds // 30, "some are counted and some are refused"
