"""A model's parameters from its config.json alone, as vLLM builds them.

Compared with vLLM 0.32.0's own model classes, built on torch's meta device (tests/golden/weights), and with what 0.20.2
logged on an H200. Small parameters (norms, biases, convolutions) are counted roughly: together less than 0.1 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sparkctl.memory.model.config_keys import Keys
from sparkctl.memory.model.geometry import Geometry, geometry, text_keys
from sparkctl.memory.model.layers import Kind
from sparkctl.memory.weights.compressed import compressed
from sparkctl.memory.weights.drafters import drafter_parts
from sparkctl.memory.weights.encoders import ENCODERS, encoder_parts
from sparkctl.memory.weights.feed_forward import feed_forward
from sparkctl.memory.weights.load_options import QUERY_ALONE
from sparkctl.memory.weights.parts import Part, lora_rank
from sparkctl.memory.weights.towers import towers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.version import Version

    from sparkctl.memory.model.layers import LayerGroup

_PADDING: Final = 64
"""The vocabulary is padded to a multiple of this (vLLM vocab_parallel_embedding.py)."""
_TIED: Final = ("gemma", "cohere", "mamba", "whisper", "lfm2")
_SHORT_CONVOLUTIONS: Final = frozenset({"lfm2", "lfm2_moe"})
_UNTIED: Final = frozenset({"mamba2"})
"""Families whose head is the embedding unless their config says otherwise."""
_ADAPTED_EMBEDDINGS_NAMES: Final = """
    llama mistral mixtral qwen3 qwen3_moe qwen3_5_text qwen3_5_moe_text granite granitemoe granitemoehybrid nemotron
    nemotron-nas nemotron_h falcon_h1 jamba phimoe exaone4 minicpm lfm2 lfm2_moe
"""
_ADAPTED_EMBEDDINGS: Final = frozenset(_ADAPTED_EMBEDDINGS_NAMES.split())
"""Families whose embedding and head take LoRA adapters, too (``embedding_modules`` in vLLM 0.17.1 to 0.33.0)."""


def parts(config: Mapping[str, Any], vllm: Version) -> list[Part]:
    """Return the modules of the model with their parameters: text, towers and drafting layers.

    Raises:
        InputError: a number that is missing, is none, or is impossible.
    """
    keys, kind = text_keys(config)
    shape = geometry(config)
    own = _embeddings(config, keys, kind) if shape.drafter is None else drafter_parts(keys, shape.drafter)
    found = [*own, *_per_layer(keys, kind), *feed_forward(keys, kind)]
    for group in shape.groups:
        found += _attention(group, keys, shape, kind)
    found += _shared_attention(keys, shape, kind, vllm)
    found += compressed(keys) if kind == "deepseek_v4" else ()
    hidden = keys.count("hidden_size")
    found.append(Part("norm", "model.layers.*.layernorm", 4 * hidden, keys.layers))
    found += encoder_parts(config, keys, kind)
    return [*found, *towers(config, hidden), *_drafting(shape, keys, kind)]


def _embeddings(config: Mapping[str, Any], keys: Keys, kind: str) -> Iterator[Part]:
    vocabulary, hidden = keys.count("vocab_size"), keys.count("hidden_size")
    size = -(-vocabulary // _PADDING) * _PADDING * hidden
    rank = lora_rank(vocabulary, hidden) if kind in _ADAPTED_EMBEDDINGS else 0
    yield Part("embedding", "model.embed_tokens", size, rank=rank)
    if kind not in ENCODERS and not _tied(config, keys, kind):
        yield Part("embedding", "lm_head", size, rank=rank)


def is_tied(config: Mapping[str, Any]) -> bool:
    """Return whether the model's output reads the table of its input."""
    return _tied(config, *text_keys(config))


def _tied(config: Mapping[str, Any], keys: Keys, kind: str) -> bool:
    written = [part.get("tie_word_embeddings") for part in (config, keys.values)]
    usual = kind.startswith(_TIED) and kind not in _UNTIED
    return next((value for value in written if isinstance(value, bool)), usual)


def _per_layer(keys: Keys, kind: str) -> Iterator[Part]:
    """Yield the additional parts of models with per-layer embeddings: Gemma 3n and 4's E-models."""
    width, hidden, layers = keys.first("hidden_size_per_layer_input"), keys.count("hidden_size"), keys.layers
    if not width:
        return
    vocabulary = keys.first("vocab_size_per_layer_input") or keys.count("vocab_size")
    yield Part("per-layer embedding", "model.embed_tokens_per_layer", vocabulary * layers * width)
    whole, rank = lora_rank(hidden, layers * width), lora_rank(hidden, width)
    yield Part("linear", "model.per_layer_model_projection", hidden * layers * width, linear=True, rank=whole)
    yield Part("linear", "model.layers.*.per_layer_input_gate", hidden * width, layers, linear=True, rank=rank)
    yield Part("linear", "model.layers.*.per_layer_projection", hidden * width, layers, linear=True, rank=rank)
    if kind == "gemma3n_text":
        rank, inputs = keys.first("laurel_rank") or 64, keys.first("altup_num_inputs") or 4
        yield Part("linear", "model.layers.*.laurel", 2 * hidden * rank, layers, linear=True)
        yield Part("linear", "model.altup_projections", 2 * (inputs - 1) * hidden * hidden)


def _attention(group: LayerGroup, keys: Keys, shape: Geometry, kind: str) -> Iterator[Part]:
    hidden = keys.count("hidden_size")
    if group.page is not None:
        return  # DeepSeek V4's attention is in ``compressed``
    if group.block is not None:
        yield Part("norm", "model.layers.*.conv_state", group.kv_heads * group.head_dim * group.block, group.layers)
    elif group.kind is Kind.LINEAR:
        yield from _gated_delta(group, keys)
    elif kind in _SHORT_CONVOLUTIONS and group.state is not None:
        yield from _short_convolution(group, keys)
    elif group.state is not None:
        yield from _mamba(group, keys)
    elif group.element_bytes is not None:
        yield Part("linear", "model.layers.*.self_attn.indexer", _indexer(keys), group.layers, linear=True)
    elif group.kind is Kind.MLA:
        yield from _latent(group, keys)
    else:
        heads = _query_heads(group, keys) or shape.q_heads
        queries = heads * group.head_dim
        gate = 2 if _gated(keys, kind) else 1
        values = group.head_dim if group.value_dim is None else group.value_dim
        beside = heads * _beside(keys, kind)
        joined = hidden * (gate * queries + group.kv_heads * (group.head_dim + values) + beside)
        keyed = group.kv_heads * group.head_dim, group.kv_heads * values
        slices = (gate * queries, *keyed) if group.kv_heads else (gate * queries,)
        rank = lora_rank(hidden, *slices)
        yield Part("linear", "model.layers.*.self_attn.qkv_proj", joined, group.layers, linear=True, rank=rank)
        out = heads * values
        rank = lora_rank(out, hidden)
        yield Part("linear", "model.layers.*.self_attn.o_proj", out * hidden, group.layers, linear=True, rank=rank)


def _shared_attention(keys: Keys, shape: Geometry, kind: str, vllm: Version) -> Iterator[Part]:
    """Yield the projections of layers that read others' cache: all projections, or since 0.30 only the query's."""
    if not keys.first("num_kv_shared_layers"):
        return
    whole = geometry({**keys.values, "model_type": kind, "num_kv_shared_layers": 0})
    owned = {group._replace(layers=1): group.layers for group in shape.groups}
    for group in whole.groups:
        left = group.layers - owned.get(group._replace(layers=1), 0)
        heads = 0 if vllm >= QUERY_ALONE and kind == "gemma4_text" else group.kv_heads
        if left:
            yield from _attention(group._replace(layers=left, kv_heads=heads), keys, whole, kind)


def _query_heads(group: LayerGroup, keys: Keys) -> int:
    """Return the number of query heads of layers that set it themselves, else 0; if they differ, the mean."""
    listed, types = keys.get("num_attention_heads_per_layer"), keys.get("layer_types")
    if isinstance(listed, list) and isinstance(types, list) and len(listed) == len(types):
        wanted = "sliding_attention" if group.kind is Kind.SLIDING else "full_attention"
        own = [Keys({"heads": one}).count("heads") for one, kind in zip(listed, types, strict=True) if kind == wanted]
        return round(sum(own) / len(own)) if own else 0
    if group.kind is not Kind.SLIDING:
        return 0
    other = keys.get("attention_other_setting")
    named = keys.first("num_sliding_attention_heads", "swa_num_attention_heads")
    return named or (Keys(other).first("num_attention_heads") if isinstance(other, dict) else 0)


def _beside(keys: Keys, kind: str) -> int:
    """Return the additional columns of each query head: a gate, or Inkling's relative states."""
    if kind == "inkling_text":
        return keys.first("d_rel") or 16
    return 1 if kind == "laguna" or keys.get("use_head_wise_attn_gate") else 0


def _gated(keys: Keys, kind: str) -> bool:
    """Return whether queries carry a gate: Qwen3-Next and its successors."""
    return bool(keys.get("attn_output_gate")) or kind.startswith(("qwen3_next", "qwen3_5"))


def _latent(group: LayerGroup, keys: Keys) -> Iterator[Part]:
    hidden, heads, rank = keys.count("hidden_size"), keys.at("num_attention_heads", 0), keys.count("kv_lora_rank")
    rope, nope = keys.count("qk_rope_head_dim"), keys.count("qk_nope_head_dim")
    values = keys.first("v_head_dim") or nope
    width = heads * (nope + rope)
    low = keys.first("q_lora_rank")
    query = hidden * low + low * width if low else hidden * width
    adapted = lora_rank(hidden, low) + lora_rank(low, width) if low else lora_rank(hidden, width)
    opened, out = heads * (nope + values), heads * values
    for module, size, numbers in (
        ("q_proj", query, adapted),
        ("kv_a_proj_with_mqa", hidden * (rank + rope), lora_rank(hidden, rank + rope)),
        ("kv_b_proj", rank * opened, lora_rank(rank, opened)),
        ("o_proj", out * hidden, lora_rank(out, hidden)),
    ):
        yield Part("linear", f"model.layers.*.self_attn.{module}", size, group.layers, linear=True, rank=numbers)


def _indexer(keys: Keys) -> int:
    heads, width, hidden = keys.first("index_n_heads"), keys.first("index_head_dim"), keys.count("hidden_size")
    sparse = keys.get("sparse_attention_config")
    if isinstance(sparse, dict):
        of_minimax = Keys(sparse)
        heads, width = of_minimax.first("sparse_num_index_heads"), of_minimax.first("sparse_index_dim")
        return hidden * width * (heads + 1)
    return (keys.first("q_lora_rank") or hidden) * heads * width + hidden * (width + heads)


def _gated_delta(group: LayerGroup, keys: Keys) -> Iterator[Part]:
    hidden = keys.count("hidden_size")
    key = keys.count("linear_num_key_heads") * keys.count("linear_key_head_dim")
    heads = keys.count("linear_num_value_heads")
    value = heads * keys.count("linear_value_head_dim")
    name = "model.layers.*.linear_attn"
    for module, size, rank in (
        ("in_proj_qkvz", hidden * 2 * (key + value), lora_rank(hidden, key, key, value, value)),
        ("in_proj_ba", hidden * 2 * heads, lora_rank(hidden, heads, heads)),
        ("out_proj", value * hidden, lora_rank(value, hidden)),
    ):
        yield Part("linear", f"{name}.{module}", size, group.layers, linear=True, rank=rank)
    yield Part("norm", f"{name}.conv1d", _convolution(group), group.layers)


def _short_convolution(group: LayerGroup, keys: Keys) -> Iterator[Part]:
    """Yield LFM2's layers without attention: gates and values in one projection, a convolution, and the way back."""
    hidden = keys.count("hidden_size")
    width = group.state.conv_width if group.state is not None else hidden
    name = "model.layers.*.short_conv"
    yield Part("linear", f"{name}.in_proj", 3 * hidden * width, group.layers, linear=True)
    yield Part("linear", f"{name}.out_proj", width * hidden, group.layers, linear=True)
    yield Part("norm", f"{name}.conv", _convolution(group), group.layers)


def _mamba(group: LayerGroup, keys: Keys) -> Iterator[Part]:
    hidden = keys.count("hidden_size")
    heads = keys.first("mamba_num_heads", "mamba_n_heads", "num_heads")
    wide = keys.first("mamba_d_ssm") or (keys.first("mamba_expand", "expand") or 2) * hidden
    if heads and not keys.first("mamba_d_ssm"):
        wide = heads * (keys.first("mamba_head_dim", "mamba_d_head", "head_dim") or wide // heads)
    width = group.state.conv_width if group.state is not None else wide
    joined = hidden * (wide + width + heads) if heads else hidden * 2 * wide
    name = "model.layers.*.mixer"
    rank = lora_rank(hidden, joined // hidden)
    yield Part("linear", f"{name}.in_proj", joined, group.layers, linear=True, rank=rank)
    rank = lora_rank(wide, hidden)
    yield Part("linear", f"{name}.out_proj", wide * hidden, group.layers, linear=True, rank=rank)
    yield Part("norm", f"{name}.conv1d", _convolution(group), group.layers)
    if not heads and group.state is not None:
        rank, size = keys.first("time_step_rank", "mamba_dt_rank") or -(-hidden // 16), group.state.recurrent // wide
        yield Part("linear", f"{name}.x_proj", wide * (rank + 2 * size) + rank * wide, group.layers, linear=True)
        yield Part("norm", f"{name}.A", 2 * wide * size, group.layers)


def _convolution(group: LayerGroup) -> int:
    return group.state.conv_width * (group.state.conv_kernel + 1) if group.state is not None else 0


def _drafting(shape: Geometry, keys: Keys, kind: str) -> Iterator[Part]:
    """Yield the model's own drafting layers: a layer like the last, and a projection of twice the hidden size."""
    hidden = keys.count("hidden_size")
    for group in shape.mtp:
        inner = [*_attention(group._replace(layers=1), keys, shape, kind), *feed_forward(keys, kind, last=True)]
        size = sum(part.parameters * part.count for part in inner) + 2 * hidden * hidden
        yield Part("draft", "model.mtp.*", size, group.layers, linear=True)
