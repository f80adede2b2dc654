"""A quantized model against its source, by headers: what a tool may do wrong is seen, whatever the model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.job.linear import names_it
from sparkctl.memory.product import ProductFinding, judged
from sparkctl.memory.weights.tensors import Tensor

HIDDEN = 64
LAYERS = 4
SHARED = 2
CONFIG: dict[str, Any] = {
    "model_type": "gemma4_text",
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_kv_shared_layers": SHARED,
}
NVFP4 = {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized", "ignore": ["lm_head", "re:.*tower.*"]}
MODULES = tuple(
    f"model.layers.{layer}.{name}"
    for layer in range(LAYERS)
    for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.up_proj")
)
SPARE = frozenset(name for name in MODULES if name[13] in "23" and name[-6] in "kv")
ROUTER = "model.layers.0.router.proj"
TOWER = "model.vision_tower.fc"


def matrix(name: str) -> Tensor:
    return Tensor(f"{name}.weight", "BF16", (HIDDEN, HIDDEN), HIDDEN * HIDDEN * 2)


def packed(name: str) -> list[Tensor]:
    return [
        Tensor(f"{name}.weight_packed", "U8", (HIDDEN, HIDDEN // 2), HIDDEN * HIDDEN // 2),
        Tensor(f"{name}.weight_scale", "F8_E4M3", (HIDDEN, HIDDEN // 16), HIDDEN * HIDDEN // 16),
        Tensor(f"{name}.weight_global_scale", "F32", (1,), 4),
    ]


EXPERTS = Tensor("model.layers.1.mlp.experts.gate_up_proj", "BF16", (2, 2 * HIDDEN, HIDDEN), 4 * HIDDEN * HIDDEN * 2)
UNFUSED = tuple(f"model.layers.1.mlp.experts.{expert}.{part}" for expert in (0, 1) for part in ("gate_proj", "up_proj"))
PLAIN = (
    Tensor("model.embed_tokens.weight", "BF16", (256, HIDDEN), 256 * HIDDEN * 2),
    Tensor("model.norm.weight", "BF16", (HIDDEN,), HIDDEN * 2),
    matrix("lm_head"),
    matrix(TOWER),
)
SOURCE = ModelFacts(config=CONFIG, tensors=(*PLAIN, EXPERTS, *map(matrix, MODULES)))


def product(
    *, quantized: frozenset[str] = frozenset((*MODULES, *UNFUSED)) - SPARE, kept: tuple[str, ...] = (), **config: object
) -> ModelFacts:
    tensors = [*PLAIN, *map(matrix, kept)]
    for name in sorted(quantized):
        tensors += packed(name)
    return ModelFacts(config={**CONFIG, "quantization_config": NVFP4, **config}, tensors=tuple(tensors))


def failed(made: ModelFacts, kept: tuple[str, ...] | None = None, source: ModelFacts = SOURCE) -> dict[str, str]:
    return {one.check: one.says for one in judged(source, made, kept) if not one.passed}


def finding(made: ModelFacts, check: str) -> ProductFinding:
    return next(one for one in judged(SOURCE, made, None) if one.check == check)


def test_a_product_that_is_as_it_has_to_be_passes_and_says_which_vllm_reads_it() -> None:
    made = product()
    assert failed(made) == {}
    assert finding(made, "layers").says == "16 of 16 linear layers that are to be quantized are"
    assert "keys and values of layers 2 to 3, which read another's: vLLM before 0.30" in finding(made, "tensors").says
    assert finding(made, "kept").says == "linear layers that are kept as they were: 2"


def test_a_tool_that_reads_files_quantizes_the_keys_that_are_not_used_too() -> None:
    made = product(quantized=frozenset((*MODULES, *UNFUSED)))
    assert failed(made) == {}
    assert finding(made, "layers").says == "20 of 20 linear layers that are to be quantized are"
    assert "vLLM" not in finding(made, "tensors").says


@given(st.sets(st.sampled_from(sorted({*MODULES, *UNFUSED} - SPARE)), min_size=1, max_size=3))
def test_layers_that_were_forgotten_are_named(forgotten: set[str]) -> None:
    made = product(quantized=frozenset({*MODULES, *UNFUSED} - SPARE - forgotten), kept=tuple(forgotten))
    found = failed(made)
    assert found["layers"].startswith(f"{16 - len(forgotten)} of 16 linear layers")
    assert all(name in found["layers"] for name in forgotten)
    assert "tensors" not in found
    assert failed(made, (*NVFP4["ignore"], *forgotten)) == {}


@given(st.sampled_from(sorted({*MODULES, *UNFUSED} - SPARE)))
def test_a_tensor_that_is_gone_is_named(name: str) -> None:
    made = product(quantized=frozenset({*MODULES, *UNFUSED} - SPARE - {name}))
    assert name in failed(made)["tensors"]


def test_what_was_to_be_kept_and_is_quantized_is_named_and_so_is_a_router() -> None:
    tower = product(quantized=frozenset({*MODULES, *UNFUSED, TOWER} - SPARE))
    assert failed(tower)["kept"] == f"1 that were to be kept are quantized: {TOWER}"
    source = ModelFacts(config=CONFIG, tensors=(*(SOURCE.tensors or ()), matrix(ROUTER)))
    router = product(quantized=frozenset({*MODULES, *UNFUSED, ROUTER} - SPARE))
    assert failed(router, source=source)["kept"].startswith("a router is quantized, which vLLM does not load")


@pytest.mark.parametrize(
    ("change", "check", "says"),
    [
        ({"quantization_config": None}, "declared", "config.json has no quantization_config"),
        ({"quantization_config": {"quant_method": "novel"}}, "declared", "quantization novel is not known"),
        ({"head_dim": 8}, "config", "config.json differs in head_dim"),
        (
            {"rope_parameters": {"full_attention": {"type": "axial"}}},
            "config",
            "config.json differs in rope_parameters",
        ),
    ],
)
def test_a_config_that_is_not_the_sources_with_its_quantization_is_told(
    change: dict[str, object], check: str, says: str
) -> None:
    assert failed(product(**change))[check].startswith(says)


def test_what_every_writer_writes_anew_is_no_difference() -> None:
    assert failed(product(transformers_version="5.17.0", dtype="bfloat16")) == {}


def test_a_product_of_another_size_than_its_layers_make_is_told() -> None:
    made = product()
    swollen = made.model_copy(update={"tensors": (*(made.tensors or ()), matrix("model.stray"), matrix("model.more"))})
    assert "expected" in failed(swollen)["bytes"]


@pytest.mark.parametrize(
    ("module", "pattern", "named"),
    [
        ("a.lm_head", "lm_head", True),
        ("a.lm_head_norm", "lm_head", False),
        ("a.vision_tower.fc", "*vision_tower*", True),
        ("a.vision_tower.fc", "re:.*vision_tower.*", True),
        ("a.vision_tower.fc", "re:vision_tower", False),
        ("a", "re:(", False),
    ],
)
def test_patterns_name_modules_as_the_tools_have_it(module: str, pattern: str, *, named: bool) -> None:
    assert names_it(module, [pattern]) is named
