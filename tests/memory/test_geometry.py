"""config.json as operators may have it: known, unknown, and wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.model.defaults import KNOWN
from sparkctl.memory.model.geometry import Geometry, Kind, LayerGroup, RecurrentState, geometry
from tests.support.paths import REPOSITORY
from tests.support.thorough import examples

ROOT = REPOSITORY
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


SLIDING_TYPES = ["sliding_attention"] * 3
FULL, SLIDING, CHUNKED, MLA = Kind.FULL, Kind.SLIDING, Kind.CHUNKED, Kind.MLA
# Layers, key-value heads, head width and window, of configs that hold the key figures of the public model of that name.
# "oracle": what vLLM 0.32.0's own model classes answered to get_kv_cache_spec, built on torch's meta device from these
# files (of the multimodal ones, from their text part); "source": read in vLLM 0.33.0's model code.
ATTENDING = [
    ("c4ai-command-r7b", "oracle", {(SLIDING, 24, 8, 128, 4097), (FULL, 8, 8, 128, None)}),
    ("deepseek-v2-lite", "oracle", {(MLA, 27, 1, 576, None)}),
    ("deepseek-v3", "oracle", {(MLA, 61, 1, 576, None)}),
    ("deepseek-v3.2", "source", {(MLA, 61, 1, 576, None), (MLA, 61, 1, 132, None)}),
    ("exaone-4.0-32b", "oracle", {(SLIDING, 48, 8, 128, 4096), (FULL, 16, 8, 128, None)}),
    ("gemma-2-9b", "oracle", {(SLIDING, 21, 8, 256, 4096), (FULL, 21, 8, 256, None)}),
    ("gemma-3-4b", "oracle", {(SLIDING, 29, 4, 256, 1024), (FULL, 5, 4, 256, None)}),
    ("gemma-3n-e4b", "source", {(SLIDING, 16, 2, 256, 512), (FULL, 4, 2, 256, None)}),
    ("gemma4-e2b-text", "oracle", {(SLIDING, 12, 1, 256, 512), (FULL, 3, 1, 512, None)}),
    ("gemma4-e4b-mm", "oracle", {(SLIDING, 20, 2, 256, 512), (FULL, 4, 2, 512, None)}),
    ("gemma4-26b-mm", "oracle", {(SLIDING, 25, 8, 256, 1024), (FULL, 5, 2, 512, None)}),
    ("glm-4-9b-0414", "oracle", {(FULL, 40, 2, 128, None)}),
    ("glm-4.5-air", "oracle", {(FULL, 46, 8, 128, None)}),
    ("glm-4.7-flash", "oracle", {(MLA, 47, 1, 576, None)}),
    ("gpt-oss-20b", "oracle", {(SLIDING, 12, 8, 64, 128), (FULL, 12, 8, 64, None)}),
    ("granite-3.3-8b", "oracle", {(FULL, 40, 8, 128, None)}),
    ("kimi-k2", "oracle", {(MLA, 61, 1, 576, None)}),
    ("inkling-small", "source", {(SLIDING, 35, 8, 128, 512), (FULL, 7, 8, 128, None), (SLIDING, 42, 8, 2048, 4)}),
    ("laguna-xs-2.1", "oracle", {(SLIDING, 30, 8, 128, 512), (FULL, 10, 8, 128, None)}),
    ("llama-3.1-8b", "oracle", {(FULL, 32, 8, 128, None)}),
    ("llama-4-scout", "oracle", {(CHUNKED, 36, 8, 128, 8192), (FULL, 12, 8, 128, None)}),
    ("mimo-v2-flash", "oracle", {(SLIDING, 39, 8, 192, 128), (FULL, 9, 4, 192, None)}),
    ("minimax-m3", "source", {(FULL, 60, 4, 128, None), (MLA, 57, 1, 128, None)}),
    ("minimax-m2", "oracle", {(FULL, 62, 8, 128, None)}),
    ("mistral-7b-v0.1", "oracle", {(SLIDING, 32, 8, 128, 4096)}),
    ("mistral-7b-v0.3", "oracle", {(FULL, 32, 8, 128, None)}),
    ("mistral-small-3.1-24b", "oracle", {(FULL, 40, 8, 128, None)}),
    ("mixtral-8x7b", "oracle", {(FULL, 32, 8, 128, None)}),
    ("olmo-3-7b", "oracle", {(SLIDING, 24, 32, 128, 4096), (FULL, 8, 32, 128, None)}),
    ("phi-3-mini-4k", "oracle", {(SLIDING, 32, 32, 96, 2047)}),
    ("phi-3.5-moe", "oracle", {(SLIDING, 32, 8, 128, 131072)}),
    ("phi-4", "oracle", {(FULL, 40, 10, 128, None)}),
    ("qwen2.5-7b", "oracle", {(FULL, 28, 4, 128, None)}),
    ("qwen2.5-vl-7b", "source", {(FULL, 28, 4, 128, None)}),
    ("qwen3-8b", "oracle", {(FULL, 36, 8, 128, None)}),
    ("qwen3-30b-a3b", "oracle", {(FULL, 48, 4, 128, None)}),
    ("qwen3-vl-30b-a3b", "source", {(FULL, 48, 4, 128, None)}),
    ("seed-oss-36b", "oracle", {(FULL, 64, 8, 128, None)}),
    ("step-3.5-flash", "oracle", {(SLIDING, 33, 8, 128, 512), (FULL, 12, 8, 128, None)}),
    ("tiny", "oracle", {(FULL, 2, 2, 32, None)}),
]
# Layers that attend (layers, heads, width), and those with a state (kind, layers, channels and tokens of the
# convolution, numbers of the recurrence, bytes of each). The oracle was vLLM's CPU build, which keeps every recurrence
# in float32 (platforms/cpu.py); the bytes are those on a GPU.
HYBRID = [
    ("falcon-h1-7b", "oracle", (44, 2, 128), (Kind.MAMBA, 44, 3584, 4, 24 * 128 * 256, 2)),
    ("granite-4.0-h-tiny", "oracle", (4, 4, 128), (Kind.MAMBA, 36, 3328, 4, 48 * 64 * 128, 2)),
    ("jamba-1.5-mini", "oracle", (4, 8, 128), (Kind.MAMBA, 28, 8192, 4, 8192 * 16, 2)),
    ("lfm2-1.2b", "oracle", (6, 8, 64), (Kind.MAMBA, 10, 2048, 3, 0, 2)),
    ("lfm2-8b-a1b", "oracle", (6, 8, 64), (Kind.MAMBA, 18, 2048, 3, 0, 2)),
    ("mamba-2.8b", "oracle", None, (Kind.MAMBA, 64, 5120, 4, 5120 * 16, 2)),
    ("mamba-codestral-7b", "oracle", None, (Kind.MAMBA, 64, 10240, 4, 128 * 64 * 128, 2)),
    ("nemotron-nano-9b-v2", "oracle", (4, 8, 128), (Kind.MAMBA, 27, 12288, 4, 128 * 80 * 128, 4)),
    ("nemotron-3-nano-30b-a3b", "source", (6, 2, 128), (Kind.MAMBA, 23, 6144, 4, 64 * 64 * 128, 4)),
    ("qwen3-next-80b-a3b", "oracle", (12, 2, 256), (Kind.LINEAR, 36, 8192, 4, 32 * 128 * 128, 2)),
    ("qwen3.5-9b", "source", (8, 4, 256), (Kind.LINEAR, 24, 8192, 4, 32 * 128 * 128, 4)),
    ("qwen3.6-35b-a3b", "source", (10, 2, 256), (Kind.LINEAR, 30, 8192, 4, 32 * 128 * 128, 4)),
]


@pytest.mark.parametrize(("name", "_source", "groups"), ATTENDING)
def test_the_layers_that_own_cache_are_found(name: str, _source: str, groups: set[tuple[Any, ...]]) -> None:
    shape = geometry(config(name))
    assert {(g.kind, g.layers, g.kv_heads, g.head_dim, g.window) for g in shape.groups} == groups
    assert shape.known
    assert not shape.warnings


@pytest.mark.parametrize(("name", "_source", "attending", "state"), HYBRID)
def test_the_states_of_hybrid_models_are_found(
    name: str, _source: str, attending: tuple[int, int, int] | None, state: tuple[Any, ...]
) -> None:
    shape = geometry(config(name))
    kind, layers, width, kernel, recurrent, size = state
    kept = LayerGroup(kind, layers, 0, 0, state=RecurrentState(width, kernel, recurrent, recurrent_bytes=size))
    expected = {kept} if attending is None else {kept, LayerGroup(Kind.FULL, *attending)}
    assert set(shape.groups) == expected
    assert shape.known
    assert not shape.warnings


def test_the_states_of_real_boots_have_the_bytes_that_vllm_aligned_its_blocks_to() -> None:
    """Logged: 1056 tokens a block for Qwen3.6-35B-A3B in 16 bits, 4176 for Nemotron-3-Nano-30B with an fp8 cache.

    Boot logs of djangodevreng/dgx-spark-benchmarks, vLLM 0.19.2rc1 and 0.26.0.
    """
    for name, token, block in [("qwen3.6-35b-a3b", 2048, 1056), ("nemotron-3-nano-30b-a3b", 512, 4176)]:
        (state,) = [group.state for group in geometry(config(name)).groups if group.state]
        page = state.conv_width * (state.conv_kernel - 1) * state.conv_bytes + state.recurrent * state.recurrent_bytes
        assert -(-page // (16 * token)) * 16 == block


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("deepseek-v3", (LayerGroup(Kind.MLA, 1, 1, 576),)),
        ("deepseek-v3.2", (LayerGroup(Kind.MLA, 1, 1, 576), LayerGroup(Kind.MLA, 1, 1, 132, element_bytes=1))),
        ("glm-4.5-air", (LayerGroup(Kind.FULL, 1, 8, 128),)),
        ("glm-4.7-flash", (LayerGroup(Kind.MLA, 1, 1, 576),)),
        ("qwen3-next-80b-a3b", (LayerGroup(Kind.FULL, 1, 2, 256),)),
        ("qwen3.6-35b-a3b", (LayerGroup(Kind.FULL, 1, 2, 256),)),
        ("nemotron-3-nano-30b-a3b", ()),
        ("kimi-k2", ()),
        ("qwen3-8b", ()),
    ],
)
def test_the_layers_that_drafting_by_mtp_adds_are_counted_apart(name: str, layers: tuple[LayerGroup, ...]) -> None:
    assert geometry(config(name)).mtp == layers


def test_values_may_be_narrower_than_keys_and_convolutions_have_blocks_of_their_own() -> None:
    """What vLLM 0.32.0's MiMoV2FlashForCausalLM answers; vLLM 0.33.0 models/inkling/nvidia/sconv_swa_attn.py."""
    assert {group.value_dim for group in geometry(config("mimo-v2-flash")).groups} == {128}
    (kept,) = [group for group in geometry(config("inkling-small")).groups if group.block]
    assert (kept.block, kept.value_dim, kept.element_bytes, kept.window) == (4, 0, 2, 4)
    # Four tokens of keys, values and two of the model's width, of a power of two, fill one page of local attention.
    assert 4 * kept.kv_heads * kept.head_dim * 2 == 131_072


@pytest.mark.parametrize(
    ("changes", "groups"),
    [
        ({"model_type": "laguna", "sliding_window": 4}, {(FULL, 4, None)}),
        ({"model_type": "step3p5", "sliding_window": 4}, {(FULL, 4, None)}),
        (
            {
                "model_type": "step3p5",
                "sliding_window": 4,
                "layer_types": ["full_attention"] + ["sliding_attention"] * 6,
            },
            {(FULL, 1, None), (SLIDING, 3, 4)},
        ),
        ({"model_type": "lfm2", "full_attn_idxs": [1]}, {(FULL, 1, None), (Kind.MAMBA, 3, None)}),
        (
            {
                "model_type": "mimo_v2",
                "layer_types": ["full_attention"] * 3 + ["sliding_attention"],
                "sliding_window": 9,
            },
            {(FULL, 3, None), (SLIDING, 1, 9)},
        ),
        ({"model_type": "minimax_m3"}, {(FULL, 4, None)}),
    ],
)
def test_windows_of_newer_models_hold_only_where_they_are_listed(
    changes: dict[str, Any], groups: set[tuple[Any, ...]]
) -> None:
    shape = geometry({**LLAMA, **changes})
    assert {(group.kind, group.layers, group.window) for group in shape.groups} == groups
    assert shape.known


def test_nemotron_drafts_by_the_attending_layers_of_its_own_pattern() -> None:
    drafting = {**config("nemotron-3-nano-30b-a3b"), "num_nextn_predict_layers": 1}
    assert geometry(drafting).mtp == (LayerGroup(Kind.FULL, 1, 2, 128),)
    assert geometry({**drafting, "mtp_hybrid_override_pattern": "*E*E"}).mtp == (LayerGroup(Kind.FULL, 2, 2, 128),)


@pytest.mark.parametrize(
    ("name", "experts", "used", "width", "shared"),
    [
        ("mixtral-8x7b", 8, 2, 14336, 0),
        ("deepseek-v2-lite", 64, 6, 1408, 2816),
        ("qwen3-next-80b-a3b", 512, 10, 512, 512),
        ("nemotron-3-nano-30b-a3b", 128, 6, 1856, 3712),
        ("gemma4-26b-text", 128, 8, 704, 0),
        ("qwen3-8b", 0, 0, 0, 0),
    ],
)
def test_experts_are_counted(name: str, experts: int, used: int, width: int, shared: int) -> None:
    shape = geometry(config(name))
    found = (shape.experts, shape.experts_per_token, shape.expert_intermediate, shape.shared_expert_intermediate)
    assert found == (experts, used, width, shared)


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


def test_a_window_that_is_not_written_is_the_classes_own_and_null_is_none() -> None:
    mistral = {**LLAMA, "model_type": "mistral", "num_key_value_heads": 2}
    assert geometry(mistral).groups == (LayerGroup(Kind.SLIDING, 4, 2, 64, 4096),)
    assert geometry({**mistral, "sliding_window": 1024}).groups == (LayerGroup(Kind.SLIDING, 4, 2, 64, 1024),)
    for none in (None, 0):
        assert geometry({**mistral, "sliding_window": none}).groups == (LayerGroup(Kind.FULL, 4, 2, 64),)


def test_a_window_holds_for_every_layer_unless_kinds_are_listed() -> None:
    """As vLLM 0.32.0 built it: a Llama with a window of 1,024 slid in all 32 layers, with alternating kinds in 16."""
    window = {**LLAMA, "sliding_window": 1024}
    assert geometry(window).groups == (LayerGroup(Kind.SLIDING, 4, 8, 64, 1024),)
    mixed = geometry({**window, "layer_types": ["sliding_attention", "full_attention"] * 2})
    assert set(mixed.groups) == {LayerGroup(Kind.SLIDING, 2, 8, 64, 1024), LayerGroup(Kind.FULL, 2, 8, 64)}
    # GLM's class in vLLM reads no kinds of layers (oracle: full attention in all 40).
    glm = {**window, "model_type": "glm4", "head_dim": 64, "layer_types": ["sliding_attention", "full_attention"] * 2}
    assert geometry(glm).groups == (LayerGroup(Kind.FULL, 4, 2, 64),)


def test_qwen_slides_only_if_it_says_so_and_in_every_layer() -> None:
    """As vLLM 0.32.0 built it: max_window_layers of 0 slid in all layers, of 14 it refused; the MoE slid in all."""
    full, sliding = (LayerGroup(Kind.FULL, 4, 8, 64),), (LayerGroup(Kind.SLIDING, 4, 8, 64, 4096),)
    qwen = {**LLAMA, "model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": True}
    assert geometry({**qwen, "use_sliding_window": False}).groups == full
    assert geometry({**qwen, "max_window_layers": 0}).groups == sliding
    assert geometry({**qwen, "max_window_layers": 4}) == geometry({**qwen, "use_sliding_window": False})
    some = geometry({**qwen, "max_window_layers": 2})
    assert some.groups == full
    assert some.warnings == (
        "vLLM refuses a sliding window in only some layers of this model: all are counted as full attention",
    )
    moe = {**qwen, "model_type": "qwen3_moe", "num_key_value_heads": 8}
    assert geometry(moe).groups == sliding
    assert geometry({**moe, "use_sliding_window": False}).groups == full


def test_llama_4_says_layer_by_layer_where_it_attends_to_all() -> None:
    llama = {**LLAMA, "model_type": "llama4_text", "head_dim": 64, "attention_chunk_size": 2048}
    listed = geometry({**llama, "no_rope_layers": [1, 0, 1, 1]})
    assert set(listed.groups) == {LayerGroup(Kind.CHUNKED, 3, 8, 64, 2048), LayerGroup(Kind.FULL, 1, 8, 64)}
    assert geometry({**llama, "attention_chunk_size": None}).groups == (LayerGroup(Kind.FULL, 4, 8, 64),)


def test_an_indexer_may_serve_several_layers() -> None:
    glm5 = {**config("deepseek-v3.2"), "model_type": "glm_moe_dsa", "index_topk_freq": 4}
    sparse = [group.layers for group in geometry(glm5).groups if group.element_bytes == 1]
    assert sparse == [16]
    pattern = {**glm5, "index_topk_pattern": "F" + "S" * 60}
    assert [group.layers for group in geometry(pattern).groups if group.element_bytes == 1] == [1]


def test_searched_nemotrons_have_blocks_without_attention() -> None:
    """As Llama-3.3-Nemotron-Super-49B writes them: a group of query heads for each block, or none."""
    blocks = [{"attention": {"no_op": no_op, "n_heads_in_group": None if no_op else 4}} for no_op in (0, 1, 0, 1)]
    nas = {**LLAMA, "model_type": "nemotron-nas", "num_key_value_heads": None, "block_configs": blocks}
    assert geometry(nas).groups == (LayerGroup(Kind.FULL, 2, 2, 64),)


def test_numbers_under_older_names_are_found() -> None:
    glm = {"model_type": "chatglm", "num_layers": 28, "hidden_size": 4096, "num_attention_heads": 32}
    glm |= {"multi_query_attention": True, "multi_query_group_num": 2, "kv_channels": 128, "padded_vocab_size": 65024}
    shape = geometry({**glm, "seq_length": 32768})
    assert shape.groups == (LayerGroup(Kind.FULL, 28, 2, 128),)
    assert (shape.vocabulary, shape.max_context, shape.q_heads) == (65024, 32768, 32)
    gpt2 = geometry({"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257})
    assert gpt2.groups == (LayerGroup(Kind.FULL, 12, 12, 64),)
    assert not gpt2.known


def test_a_text_part_that_keeps_only_what_differs_has_its_classes_numbers() -> None:
    """As llava-1.5-7b writes it: nothing of a Vicuna's shape but its vocabulary."""
    llava = {"model_type": "llava", "text_config": {"model_type": "llama", "vocab_size": 32064}}
    shape = geometry({"architectures": ["LlavaForConditionalGeneration"], **llava})
    assert shape.groups == (LayerGroup(Kind.FULL, 32, 32, 128),)
    assert (shape.hidden, shape.vocabulary, shape.max_context) == (4096, 32064, 2048)


@pytest.mark.parametrize("part", ["text_config", "llm_config", "language_config", "thinker_config"])
def test_the_text_model_is_found_inside_others(part: str) -> None:
    inside = {"model_type": "a_new_wrapper", part: {**LLAMA, "vocab_size": None}, "vocab_size": 7}
    assert geometry({part: LLAMA}).groups == (LayerGroup(Kind.FULL, 4, 8, 64),)
    assert geometry({"thinker_config": {part: LLAMA}}).groups == geometry(LLAMA).groups
    with pytest.raises(InputError):
        geometry(inside)


def test_a_vocabulary_may_stand_beside_the_text_model() -> None:
    text = {key: value for key, value in LLAMA.items() if key != "vocab_size"}
    assert geometry({"vocab_size": 7, "text_config": text}).vocabulary == 7


@pytest.mark.parametrize(
    ("quantization", "dtype"),
    [
        ({"quant_method": "modelopt", "kv_cache_quant_algo": "FP8"}, "fp8_e4m3"),
        ({"quant_method": "modelopt", "kv_cache_quant_algo": "INT8"}, None),
        ({"producer": {"name": "modelopt"}, "quantization": {"kv_cache_quant_algo": "NVFP4"}}, "nvfp4"),
        (
            {"quant_method": "modelopt", "kv_cache_scheme": {"dynamic": False, "num_bits": 8, "type": "float"}},
            "fp8_e4m3",
        ),
        ({"quant_method": "compressed-tensors", "kv_cache_scheme": {"num_bits": 8, "type": "float"}}, "fp8"),
        ({"quant_method": "compressed-tensors", "kv_cache_scheme": None}, None),
        ({"quant_method": "fp8", "kv_cache_quant_algo": "FP8"}, None),
        ([1], None),
    ],
)
def test_a_checkpoint_may_decide_what_an_automatic_cache_type_is(quantization: object, dtype: str | None) -> None:
    assert geometry({**LLAMA, "quantization_config": quantization}).kv_cache_dtype == dtype


def test_an_unknown_architecture_counts_every_layer_at_its_widest_and_says_so() -> None:
    strange = {
        **LLAMA,
        "architectures": ["StrangeForCausalLM"],
        "model_type": "strange",
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
        "StrangeForCausalLM is not known: every layer is counted as full attention, which may be too much",
    )
    assert geometry({**strange, "num_nextn_predict_layers": 2}).mtp == (LayerGroup(Kind.FULL, 2, 16, 192),)


def test_an_unknown_model_without_attention_is_counted_as_if_it_attended() -> None:
    shape = geometry({"model_type": "rwkv9", "num_hidden_layers": 4, "hidden_size": 512, "vocab_size": 1000})
    assert shape.groups == (LayerGroup(Kind.FULL, 4, 1, 512),)
    assert not shape.known


def test_layer_kinds_that_are_not_known_make_the_architecture_unknown() -> None:
    hybrid = {**LLAMA, "model_type": "qwen3_next", "layer_types": ["new_attention"] * 3 + ["full_attention"]}
    assert geometry(hybrid).groups == (LayerGroup(Kind.FULL, 4, 2, 256),)
    assert not geometry(hybrid).known
    # A known class with keys of a cache that it does not have.
    assert not geometry({**LLAMA, "attention_chunk_size": 512}).known


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
        (
            {"num_key_value_heads": [8, 8]},
            "num_key_value_heads: expected one for each of the 4 layers, found 2 entries",
        ),
        (
            {"model_type": "nemotron_h", "hybrid_override_pattern": "M*X"},
            "hybrid_override_pattern: expected a letter of M*E- or a word for each layer, found 'M*X'",
        ),
        (
            {"model_type": "nemotron-nas", "block_configs": [1] * 4},
            "block_configs[0]: expected a map with attention, found 1",
        ),
        (
            {"model_type": "qwen3_5", "mamba_ssm_dtype": "int3"},
            "mamba_ssm_dtype: expected one of auto, float32, float16, bfloat16, found 'int3'",
        ),
        (
            {"model_type": "llama4", "no_rope_layers": [1]},
            "no_rope_layers: expected one for each of the 4 layers, found [1]",
        ),
    ],
)
def test_an_impossible_number_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        geometry({**LLAMA, **changes})
    assert error.value.message == f"config: {message}"


def test_an_empty_config_is_an_error() -> None:
    with pytest.raises(InputError) as error:
        geometry({})
    assert error.value.message == "config: num_hidden_layers: expected a whole number from 1 to 10000, found nothing"


def test_heads_may_be_written_layer_by_layer() -> None:
    own = geometry({**LLAMA, "num_key_value_heads": [8, 4, 4, 4]})
    assert set(own.groups) == {LayerGroup(Kind.FULL, 1, 8, 64), LayerGroup(Kind.FULL, 3, 4, 64)}


def test_a_stretched_rope_allows_a_longer_context() -> None:
    stretched = {**LLAMA, "max_position_embeddings": 4096, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}}
    assert geometry(stretched).max_context == 16384
    assert geometry({**LLAMA, "max_position_embeddings": 4096}).max_context == 4096
    assert geometry(LLAMA).max_context is None
    assert geometry(config("deepseek-v3")).max_context == 163840
    assert geometry(config("gpt-oss-20b")).max_context == 131072
    assert geometry(config("gemma-3-4b")).max_context == 131072


NOTES = st.text(max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-(10**13), 10**13) | st.floats() | NOTES
FLAT = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(NOTES, SCALARS, max_size=2)
VALUES = FLAT | st.lists(FLAT, max_size=3) | st.dictionaries(NOTES, FLAT, max_size=2)
OTHERS = """layer_types text_config head_dim num_key_value_heads sliding_window rope_scaling per_layer_config
kv_lora_rank num_kv_shared_layers global_head_dim intermediate_size max_position_embeddings block_configs
use_sliding_window max_window_layers hybrid_override_pattern quantization_config no_rope_layers index_topk
index_topk_pattern mamba_d_head mamba_ssm_dtype full_attention_interval attn_layer_period num_nextn_predict_layers
multi_query_group_num num_experts n_shared_experts hybrid_layer_pattern local_layer_ids full_attn_idxs conv_L_cache
sparse_attention_config swa_num_key_value_heads"""
KEYS = st.sampled_from([*LLAMA, *OTHERS.split()])
KINDS = st.sampled_from([*KNOWN, "x"])


@given(st.dictionaries(KEYS, VALUES, max_size=6), KINDS)
@settings(max_examples=examples(2000))
def test_any_config_has_a_geometry_or_an_input_error(changes: dict[str, Any], kind: str) -> None:
    try:
        shape = geometry({**LLAMA, "model_type": kind, **changes})
    except InputError as error:
        assert error.message.startswith("config: ")  # noqa: PT017  (both ends are right)
    else:
        for group in (*shape.groups, *shape.mtp):
            assert group.layers > 0
            assert group.state is not None or (group.kv_heads > 0 and group.head_dim > 0)


@given(st.recursive(VALUES, lambda inner: st.dictionaries(KEYS, inner, max_size=4)))
def test_any_map_has_a_geometry_or_an_input_error(anything: object) -> None:
    try:
        geometry(anything if isinstance(anything, dict) else {"text_config": anything})
    except InputError as error:
        assert error.hint  # noqa: PT017  (both ends are right)


def bytes_a_token(shape: Geometry) -> int:
    """Return what a token takes in the layers that keep it, at two bytes a number."""
    if not shape.caches:
        return 0
    sides = {Kind.MLA: 1}
    return sum(g.layers * g.kv_heads * g.head_dim * 2 * sides.get(g.kind, 2) for g in shape.groups if g.block is None)


SMALL = st.integers(1, 64)
NUMBERS = st.fixed_dictionaries(
    {
        **dict.fromkeys(["num_key_value_heads", "head_dim", "global_head_dim", "num_global_key_value_heads"], SMALL),
        **dict.fromkeys(["kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "index_head_dim"], SMALL),
        **dict.fromkeys(["num_attention_heads", "num_hidden_layers", "hidden_size"], SMALL),
        **dict.fromkeys(["sliding_window", "num_kv_shared_layers", "attention_k_eq_v"], st.just(1)),
        "index_topk": st.sampled_from([None, 4]),
        "multi_query_attention": st.booleans(),
    }
)


@given(NUMBERS, st.sampled_from(sorted(KNOWN)), st.text("M*E-", min_size=1, max_size=70), st.data())
@settings(max_examples=examples(1000))
def test_an_unknown_model_never_counts_less_than_a_known_reading_of_the_same_numbers(
    numbers: dict[str, Any], kind: str, pattern: str, data: st.DataObject
) -> None:
    own: dict[str, Any] = {}
    if kind == "nemotron-nas":
        group = st.fixed_dictionaries({"n_heads_in_group": SMALL, "no_op": st.booleans()})
        layers = numbers["num_hidden_layers"]
        blocks = st.lists(st.fixed_dictionaries({"attention": group}), min_size=layers, max_size=layers)
        own = {"block_configs": data.draw(blocks)}
    own |= {"hybrid_override_pattern": pattern} if kind == "nemotron_h" else {}
    own |= {"multi_query_group_num": numbers["num_key_value_heads"]} if kind == "chatglm" else {}
    own |= {"is_encoder_decoder": True} if kind == "whisper" else {}
    config = {**{key: value for key, value in numbers.items() if value is not None}, "vocab_size": 100, **own}
    if KNOWN[kind].family != "mla":
        config = {key: value for key, value in config.items() if key not in {"kv_lora_rank", "index_topk"}}
    known = geometry({**config, "model_type": kind})
    unknown = geometry({**config, "model_type": "unheard_of"})
    assert not unknown.known
    assert bytes_a_token(known) <= bytes_a_token(unknown)
