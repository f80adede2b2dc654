"""config.json as operators may have it: known, unknown, and wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.errors import InputError
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.geometry import Kind, LayerGroup, geometry

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "tests" / "fixtures" / "configs"
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 4,
    "hidden_size": 512,
    "num_attention_heads": 8,
    "vocab_size": 1000,
}


def config(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((CONFIGS / name / "config.json").read_text())
    return loaded


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("gemma4-e2b-text", {(Kind.SLIDING, 12, 1, 256, 512), (Kind.FULL, 3, 1, 512, None)}),
        ("gemma4-e4b-mm", {(Kind.SLIDING, 20, 2, 256, 512), (Kind.FULL, 4, 2, 512, None)}),
        ("gemma4-26b-mm", {(Kind.SLIDING, 25, 8, 256, 1024), (Kind.FULL, 5, 2, 512, None)}),
        ("qwen3-8b", {(Kind.FULL, 36, 8, 128, None)}),
        ("tiny", {(Kind.FULL, 2, 2, 32, None)}),
    ],
)
def test_the_layers_that_own_cache_are_found(name: str, groups: set[tuple[Any, ...]]) -> None:
    shape = geometry(config(name))
    assert {(g.kind, g.layers, g.kv_heads, g.head_dim, g.window) for g in shape.groups} == groups
    assert shape.known
    assert not shape.warnings


@pytest.mark.parametrize(
    ("facts", "fixture"),
    [("gemma-4-e2b", "gemma4-e2b-mm"), ("gemma-4-e4b", "gemma4-e4b-mm"), ("gemma-4-26b-a4b", "gemma4-26b-mm")],
)
def test_the_shipped_facts_have_the_geometry_of_the_models_own_config(facts: str, fixture: str) -> None:
    shipped = ModelFacts.model_validate(yaml.safe_load((ROOT / "recipes" / "models" / f"{facts}.yaml").read_text()))
    assert geometry(shipped.config) == geometry(config(fixture))


@pytest.mark.parametrize(
    ("kind", "layers", "sliding", "full"),
    [("gemma2", 26, 13, 13), ("gemma3_text", 34, 29, 5), ("gemma3n_text", 35, 16, 4), ("gemma4_text", 30, 25, 5)],
)
def test_a_pattern_stands_for_layer_types_that_are_not_written(kind: str, layers: int, sliding: int, full: int) -> None:
    shape = geometry({"text_config": {"model_type": kind, "num_hidden_layers": layers, "hidden_size": 2560}})
    counts = {group.kind: group.layers for group in shape.groups}
    assert counts == {Kind.SLIDING: sliding, Kind.FULL: full}


def test_mistral_slides_in_every_layer_and_qwen_in_none_unless_it_says_so() -> None:
    mistral = geometry({**LLAMA, "model_type": "mistral", "sliding_window": 4096, "num_key_value_heads": 2})
    assert mistral.groups == (LayerGroup(Kind.SLIDING, 4, 2, 64, 4096),)
    qwen = {**LLAMA, "model_type": "qwen2", "sliding_window": 4096}
    assert geometry({**qwen, "use_sliding_window": False}).groups == (LayerGroup(Kind.FULL, 4, 8, 64),)
    assert geometry({**qwen, "use_sliding_window": True}).warnings == (
        "use_sliding_window without layer_types: every layer is counted as full attention",
    )


def test_an_unknown_architecture_counts_every_layer_at_its_widest_and_says_so() -> None:
    strange = {
        **LLAMA,
        "architectures": ["DeepseekV3ForCausalLM"],
        "model_type": "deepseek_v3",
        "kv_lora_rank": 512,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "swa_num_key_value_heads": 16,
    }
    shape = geometry(strange)
    assert shape.groups == (LayerGroup(Kind.FULL, 4, 16, 192),)
    assert not shape.known
    assert shape.warnings == (
        "DeepseekV3ForCausalLM is not known: every layer is counted as full attention, which may be too much",
    )


def test_layer_kinds_that_are_not_known_make_the_architecture_unknown() -> None:
    hybrid = {**LLAMA, "model_type": "qwen3_next", "layer_types": ["linear_attention"] * 3 + ["full_attention"]}
    assert geometry(hybrid).groups == (LayerGroup(Kind.FULL, 4, 8, 64),)


def test_a_drafter_that_reads_its_targets_cache_owns_none() -> None:
    text = {"model_type": "gemma4_text", "num_hidden_layers": 4, "hidden_size": 1024, "num_kv_shared_layers": None}
    assert geometry({"model_type": "gemma4_assistant", "text_config": text}).groups == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 0}, "num_hidden_layers: expected a whole number from 1 to 10000, found 0"),
        ({"num_attention_heads": -8}, "num_attention_heads: expected a whole number from 1 to 2147483648, found -8"),
        ({"vocab_size": 10**12}, "vocab_size: expected a whole number from 1 to 2147483648, found 1000000000000"),
        ({"hidden_size": "big"}, "hidden_size: expected a whole number from 1 to 2147483648, found 'big'"),
        ({"hidden_size": None}, "hidden_size: expected a whole number from 1 to 2147483648, found nothing"),
        ({"head_dim": True}, "head_dim: expected a whole number from 1 to 2147483648, found True"),
        ({"layer_types": ["full_attention"]}, "layer_types: expected one for each of the 4 layers, found 1 entries"),
        ({"num_kv_shared_layers": 5}, "num_kv_shared_layers: expected at most the 4 layers, found 5"),
        ({"text_config": [1]}, "text_config: expected a map, found [1]"),
    ],
)
def test_an_impossible_number_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        geometry({**LLAMA, **changes})
    assert error.value.message == f"config: {message}"


def test_a_stretched_rope_allows_a_longer_context() -> None:
    stretched = {**LLAMA, "max_position_embeddings": 4096, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}}
    assert geometry(stretched).max_context == 16384
    assert geometry({**LLAMA, "max_position_embeddings": 4096}).max_context == 4096
    assert geometry(LLAMA).max_context is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**13), 10**13) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)
OTHERS = """layer_types text_config head_dim num_key_value_heads sliding_window rope_scaling per_layer_config
kv_lora_rank num_kv_shared_layers global_head_dim intermediate_size max_position_embeddings"""
KEYS = st.sampled_from([*LLAMA, *OTHERS.split()])


@given(st.dictionaries(KEYS, VALUES, max_size=6), st.sampled_from(["llama", "gemma4_text", "gemma2", "mistral", "x"]))
@settings(max_examples=1000)
def test_any_config_has_a_geometry_or_an_input_error(changes: dict[str, Any], kind: str) -> None:
    try:
        shape = geometry({**LLAMA, "model_type": kind, **changes})
    except InputError as error:
        assert error.message.startswith("config: ")  # noqa: PT017  (both ends are right)
    else:
        assert all(group.layers > 0 and group.kv_heads > 0 and group.head_dim > 0 for group in shape.groups)
