"""The upper bound for a model whose cache is not known: too much, never too little."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sparkctl.memory.model.config_keys import MAX_LAYERS, MAX_NUMBER
from sparkctl.memory.model.layers import Kind, LayerGroup

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.memory.model.config_keys import Keys

_KV_HEADS: Final = ("key_value_heads", "kv_heads", "n_head_kv", "kv_n_heads", "multi_query_group_num")
_QUERY_HEADS: Final = ("num_attention_heads", "n_head", "n_heads")
_WIDTHS: Final = ("head_dim", "head_size", "kv_channels", "hidden_size_per_head")
_LAYERS: Final = ("hidden_layers", "decoder_layers", "num_layers", "n_layer", "n_layers")
_PER_LAYER: Final = ("layer_types", "layers_block_type", "hybrid_override_pattern", "block_configs")
_LATENT: Final = ("kv_lora_rank", "qk_rope_head_dim", "index_head_dim")
# Sizes of a cache other than by key-value heads: a group of query heads a block, or all of them after all.
_BY_QUERY_HEADS: Final = ("block_configs", "multi_query_group_num", "n_head_kv")
_DEPTH: Final = 4


def upper_bound(keys: Keys) -> LayerGroup:
    """Return every layer as full attention, with the largest number of heads and the widest head under any key.

    Raises:
        InputError: no number of layers, or neither a width of heads nor of the model.
    """
    text = keys.values
    heads = _most_heads(text)
    width = _widest(text, keys, heads)
    latent = sum(keys.largest(name) for name in _LATENT)
    return LayerGroup(Kind.FULL, _most_layers(text, keys), heads, max(width, -(-latent // (2 * heads))))


def _most_heads(text: Mapping[str, Any]) -> int:
    named = _largest(text, _KV_HEADS)
    if named and not any(text.get(name) for name in _BY_QUERY_HEADS):
        return named
    return max(named, _largest(text, _QUERY_HEADS), 1)


def _widest(text: Mapping[str, Any], keys: Keys, heads: int) -> int:
    named = max(_largest(text, _WIDTHS), keys.largest("qk_nope_head_dim") + keys.largest("qk_rope_head_dim"))
    return named or -(-keys.count("hidden_size") // max(_largest(text, _QUERY_HEADS) or heads, 1))


def _most_layers(text: Mapping[str, Any], keys: Keys) -> int:
    lists = [len(value) for name in _PER_LAYER if isinstance(value := text.get(name), str | list)]
    own = {name: value for name, value in text.items() if str(name).endswith(_LAYERS)}
    drafting = ("nextn", "mtp", "shared")
    counted = [keys.layers, *lists]
    counted += [_largest({name: value}, _LAYERS) for name, value in own.items() if not any(d in name for d in drafting)]
    # A decoder that reads an encoder's output caches that, too.
    each = 2 if text.get("is_encoder_decoder") is True else 1
    return min(max(counted), MAX_LAYERS) * each


def _largest(text: Mapping[str, Any], endings: tuple[str, ...]) -> int:
    """Return the largest possible number under keys with one of these endings, at any depth, or 0."""
    return max((number for number in _numbers(text, endings, _DEPTH) if 0 < number <= MAX_NUMBER), default=0)


def _numbers(text: Mapping[str, Any], endings: tuple[str, ...], depth: int) -> Iterator[int]:
    for key, value in text.items():
        if str(key).endswith(endings):
            yield from (item for item in (value if isinstance(value, list) else [value]) if type(item) is int)
        inner = value if isinstance(value, list) else [value]
        if depth and not str(key).startswith(("vision", "audio")):
            for item in inner:
                if isinstance(item, dict):
                    yield from _numbers(item, endings, depth - 1)
