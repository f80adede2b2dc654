"""Readings of models whose layers all attend: full, sliding, chunked, or MLA. Each returns one group a layer.

A layer whose model gives it no window of its own takes the config's ``sliding_window``, if the config lists no kinds
of layers or only sliding ones (vLLM 0.33.0 ``engine/arg_utils.py``, where CacheConfig is made; same in 0.21.0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.memory.model.config_keys import Keys, wrong
from sparkctl.memory.model.layers import Kind, LayerGroup

if TYPE_CHECKING:
    from collections.abc import Callable

Layers = list[LayerGroup]

FULL: Final = "full_attention"
SLIDING: Final = "sliding_attention"
LINEAR: Final = "linear_attention"
# transformers 5.19 configuration_utils.py renames the older words.
_RENAMED: Final = {"attention": FULL, "mamba": LINEAR}
_INDEXER_BLOCK: Final = 128
"""DeepSeek V3.2's indexer: one byte a number, and 4 bytes of scale for each 128 (vLLM 0.33.0 deepseek_v2.py)."""


def full(keys: Keys, index: int = 0) -> LayerGroup:
    """Return a layer of full attention."""
    return LayerGroup(Kind.FULL, 1, keys.kv_heads(index), keys.head_dim(index))


def sliding(keys: Keys, index: int = 0) -> LayerGroup:
    """Return a layer of sliding attention; of full attention where the config has no window."""
    shape = full(keys, index)
    return shape if keys.window is None else shape._replace(kind=Kind.SLIDING, window=keys.window)


def layer_types(keys: Keys, name: str = "layer_types") -> list[str] | None:
    """Return the listed kinds of layers by their newer words, or None where none are listed."""
    listed = keys.checked_list(name, keys.layers)
    return None if listed is None else [_RENAMED.get(str(kind), str(kind)) for kind in listed]


def by_types(keys: Keys, types: list[str], make: dict[str, Callable[[Keys, int], LayerGroup]]) -> Layers | None:
    """Return a layer for each listed type, or None where one is not known."""
    if not set(types) <= set(make):
        return None
    return [make[kind](keys, index) for index, kind in enumerate(types)]


def listed(keys: Keys) -> Layers | None:
    """Llama and all that vLLM builds with its class or with transformers' own: kinds as listed, else one window."""
    types = layer_types(keys)
    if types is None:
        return [sliding(keys, index) for index in range(keys.layers)]
    return by_types(keys, types, {FULL: full, SLIDING: sliding})


def plain(keys: Keys) -> Layers | None:
    """Models whose vLLM class reads no kinds of layers: with a mixed list, every layer is full attention."""
    types = layer_types(keys)
    if types is not None and not set(types) <= {FULL, SLIDING}:
        return None
    make = sliding if types is None or set(types) == {SLIDING} else full
    return [make(keys, index) for index in range(keys.layers)]


def qwen(keys: Keys) -> Layers | None:
    """Qwen 2 and 3 dense: the window counts only if it applies to every layer.

    vLLM refuses a window for some layers only (0.33.0 models/qwen2.py); such models count as full attention.
    """
    types = qwen_types(keys)
    return None if types is None else plain(keys if set(types) == {SLIDING} else keys.without("sliding_window"))


def qwen_types(keys: Keys) -> list[str] | None:
    """Return the kinds of layers of a dense Qwen: as listed, or sliding from ``max_window_layers`` on."""
    used = keys.get("use_sliding_window") and keys.window is not None
    types = layer_types(keys) if "layer_types" in keys else None
    if types is None:
        first = keys.first("max_window_layers") if used and "max_window_layers" in keys else keys.layers
        return [SLIDING if index >= first else FULL for index in range(keys.layers)]
    if not set(types) <= {FULL, SLIDING}:
        return None
    return types if used else [FULL] * keys.layers


def qwen_window(keys: Keys) -> Layers | None:
    """Qwen 3 MoE: transformers lists no kinds, so the window holds for every layer once it is used."""
    return plain(keys if keys.get("use_sliding_window") else keys.without("sliding_window"))


def gpt_oss(keys: Keys) -> Layers:
    """Every second layer slides, from the first on, whatever is listed (vLLM 0.33.0 models/gpt_oss.py)."""
    return [full(keys, index) if index % 2 else sliding(keys, index) for index in range(keys.layers)]


def chatglm(keys: Keys) -> Layers | None:
    """ChatGLM 2 and 3: fewer key-value heads only with multi-query attention."""
    return plain(keys if keys.get("multi_query_attention") else keys.without("num_key_value_heads"))


def chunked(keys: Keys) -> Layers:
    """Llama 4: chunks in the layers with a rotary embedding (vLLM 0.33.0 models/llama4.py)."""
    rotary = keys.get("no_rope_layers")
    if not rotary:
        interval = keys.count("no_rope_layer_interval")
        rotary = [(index + 1) % interval != 0 for index in range(keys.layers)]
    elif not isinstance(rotary, list) or len(rotary) < keys.layers:
        raise wrong("no_rope_layers", f"one for each of the {keys.layers} layers", rotary)
    chunk = keys.first("attention_chunk_size")

    def layer(index: int) -> LayerGroup:
        shape = full(keys, index)
        return shape._replace(kind=Kind.CHUNKED, window=chunk) if chunk and rotary[index] else shape

    return [layer(index) for index in range(keys.layers)]


def alternating(keys: Keys) -> Layers | None:
    """Gemma 2, 3 and 3n, OLMo 3, Exaone 4: kinds as listed, or one full layer in each pattern."""
    types = pattern_types(keys)
    return None if types is None else by_types(keys, types, {FULL: full, SLIDING: sliding})


def cohere2(keys: Keys) -> Layers | None:
    """Cohere 2 sees one token beyond its window (vLLM 0.32.0 models/commandr.py; 0.21.0 did not count it)."""
    layers = alternating(keys)
    if layers is None:
        return None
    return [layer if layer.window is None else layer._replace(window=layer.window + 1) for layer in layers]


def gemma4(keys: Keys) -> Layers | None:
    """Gemma 4: full layers have wider heads, and may have fewer of them."""
    types = pattern_types(keys)
    return None if types is None else by_types(keys, types, {FULL: _gemma4_full, SLIDING: sliding})


def without_shared(keys: Keys, layers: Layers) -> Layers:
    """Return the layers that own their cache.

    The last layers of Gemma 3n and 4 read the cache of earlier ones (vLLM 0.33.0 models/gemma4.py:471-510), and those
    of Gemma 4's drafters their target's (vLLM 0.32.0 models/gemma4_mtp.py).
    """
    return layers[: len(layers) - keys.first("num_kv_shared_layers")]


def mla(keys: Keys) -> Layers | None:
    """DeepSeek V2, V3 and V3.2, Kimi K2, GLM 4.7 Flash and GLM 5: one latent head, and with an indexer its keys."""
    if "kv_lora_rank" not in keys or not keys.first("qk_rope_head_dim", "qk_nope_head_dim"):
        return None
    latent = mla_layer(keys)
    return [
        group for index in range(keys.layers) for group in (latent, *([indexer(keys)] if _indexes(keys, index) else ()))
    ]


def mla_layer(keys: Keys) -> LayerGroup:
    """Return one layer of MLA (vLLM 0.33.0 layers/attention/mla_attention.py)."""
    return LayerGroup(Kind.MLA, 1, 1, keys.count("kv_lora_rank") + keys.first("qk_rope_head_dim"))


def indexer(keys: Keys) -> LayerGroup:
    """Return the cached keys with which a layer of sparse attention selects its tokens."""
    width = keys.count("index_head_dim")
    return LayerGroup(Kind.MLA, 1, 1, width + width // _INDEXER_BLOCK * 4, element_bytes=1)


def _indexes(keys: Keys, index: int) -> bool:
    """Tell whether a layer has an indexer of its own: all, one in ``index_topk_freq``, or those of the pattern."""
    if "index_topk" not in keys:
        return False
    pattern = keys.get("index_topk_pattern")
    if isinstance(pattern, str | list):
        return index >= len(pattern) or pattern[index] != "S"
    offset = keys.first("index_skip_topk_offset") if "index_skip_topk_offset" in keys else 2
    return max(index - offset + 1, 0) % (keys.first("index_topk_freq") or 1) == 0


def nemotron_nas(keys: Keys) -> Layers:
    """Nemotron's searched models: each block names its group of heads, or has no attention."""
    blocks = keys.checked_list("block_configs", keys.layers) or []
    attentions = [block.get("attention") if isinstance(block, dict) else None for block in blocks]
    layers = []
    for index, attention in enumerate(attentions):
        if not isinstance(attention, dict):
            raise wrong(f"block_configs[{index}]", "a map with attention", blocks[index])
        if not attention.get("no_op"):
            in_group = Keys(attention).count("n_heads_in_group")
            heads = max(keys.count("num_attention_heads") // in_group, 1)
            layers.append(LayerGroup(Kind.FULL, 1, heads, keys.head_dim()))
    return layers


def pattern_types(keys: Keys) -> list[str] | None:
    """Return the kinds of a model that repeats a pattern, whose last layer is the full one."""
    types = layer_types(keys)
    if types is not None or keys.window is None:
        return types if types is not None else [FULL] * keys.layers
    pattern = keys.count("sliding_window_pattern")
    return [SLIDING if (index + 1) % pattern else FULL for index in range(keys.layers)]


def _gemma4_full(keys: Keys, index: int) -> LayerGroup:
    heads, width = keys.kv_heads(index), keys.count("global_head_dim")
    # The rule of transformers' Gemma4TextConfig: the key counts only where keys serve as values. The cache
    # holds both all the same (vLLM 0.33.0 models/gemma4.py:421).
    if keys.get("attention_k_eq_v") and "num_global_key_value_heads" in keys:
        heads = keys.count("num_global_key_value_heads")
    own = keys.get("per_layer_config")
    if isinstance(own, dict) and isinstance(mine := own.get(str(index), own.get(index)), dict):
        special = Keys(mine)
        heads, width = special.first("num_key_value_heads") or heads, special.first("head_dim") or width
    return LayerGroup(Kind.FULL, 1, heads, width)
