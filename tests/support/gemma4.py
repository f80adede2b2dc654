"""The safetensors headers of Gemma 4's checkpoints, from their config.json: names and shapes as transformers has them.

Towers are one tensor of as many parameters: no job quantizes them.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from sparkctl.memory.facts import ModelFacts
from sparkctl.memory.weights.load_options import QUERY_ALONE
from sparkctl.memory.weights.parameters import parts
from sparkctl.memory.weights.tensors import Tensor
from tests.support.paths import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Iterator

IGNORED = (
    "lm_head",
    "re:.*vision_tower.*",
    "re:.*audio_tower.*",
    "re:.*embed_vision.*",
    "re:.*embed_audio.*",
    "re:.*router.*",
)
"""What the seeds' jobs keep as it is."""


def config(name: str) -> dict[str, Any]:
    """Return the config.json of a model: e2b, e4b, 26b."""
    found: dict[str, Any] = json.loads((FIXTURES / "configs" / f"gemma4-{name}-mm" / "config.json").read_text())
    return found


def source(name: str, *, spare: bool = True) -> ModelFacts:
    """Return what the headers of a checkpoint say; ``spare``: with the keys and values that are never read."""
    whole = config(name)
    towers = [part for part in parts(whole, QUERY_ALONE) if part.component in {"vision", "audio"}]
    tower = ("model.vision_tower.everything", (sum(part.parameters * part.count for part in towers),))
    named = [*_text(whole["text_config"], spare=spare), tower]
    tensors = tuple(Tensor(f"{one}", "BF16", shape, 2 * math.prod(shape)) for one, shape in named)
    return ModelFacts(config=whole, tensors=tensors, tensors_source="made for the tests")


def _text(text: dict[str, Any], *, spare: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    top, hidden, layers = "model.language_model", text["hidden_size"], text["num_hidden_layers"]
    yield f"{top}.embed_tokens.weight", (text["vocab_size"], hidden)
    width = text.get("hidden_size_per_layer_input")
    if width:
        yield f"{top}.embed_tokens_per_layer.weight", (text["vocab_size_per_layer_input"], layers * width)
        yield f"{top}.per_layer_model_projection.weight", (layers * width, hidden)
    for layer in range(layers):
        yield from ((f"{top}.layers.{layer}.{one}", shape) for one, shape in _layer(text, layer, spare=spare))


def _layer(text: dict[str, Any], layer: int, *, spare: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, width = text["hidden_size"], text.get("hidden_size_per_layer_input")
    full = text["layer_types"][layer] == "full_attention"
    one_kind = bool(text.get("attention_k_eq_v")) and full
    head = text["global_head_dim"] if full else text["head_dim"]
    keys = (one_kind and text.get("num_global_key_value_heads")) or text["num_key_value_heads"]
    shares = layer >= text["num_hidden_layers"] - (text.get("num_kv_shared_layers") or 0)
    queries = text["num_attention_heads"] * head
    yield "self_attn.q_proj.weight", (queries, hidden)
    if spare or not shares:
        yield "self_attn.k_proj.weight", (keys * head, hidden)
        if not one_kind:
            yield "self_attn.v_proj.weight", (keys * head, hidden)
    yield "self_attn.o_proj.weight", (hidden, queries)
    yield "post_attention_layernorm.weight", (hidden,)
    inner = text["intermediate_size"] * (2 if text.get("use_double_wide_mlp") and shares else 1)
    yield from ((f"mlp.{one}.weight", (inner, hidden)) for one in ("gate_proj", "up_proj"))
    yield "mlp.down_proj.weight", (hidden, inner)
    if width:
        yield "per_layer_input_gate.weight", (width, hidden)
        yield "per_layer_projection.weight", (hidden, width)
    experts = text.get("num_experts") if text.get("enable_moe_block") else None
    if experts:
        small = text["moe_intermediate_size"]
        yield "router.proj.weight", (experts, hidden)
        yield "experts.gate_up_proj", (experts, 2 * small, hidden)
        yield "experts.down_proj", (experts, hidden, small)
