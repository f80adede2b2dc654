"""Readings of models whose sliding layers have heads of their own, or that keep something beside keys and values.

Read in vLLM 0.33.0 unless said; each reading turns the window off for the layers of full attention.
"""

from __future__ import annotations

from typing import Final

from sparkctl.memory.model.attention import FULL, SLIDING, Layers, by_types, full, layer_types, sliding
from sparkctl.memory.model.config_keys import Keys, wrong
from sparkctl.memory.model.layers import Kind, LayerGroup, RecurrentState

_CONV: Final = "conv"
_INKLING: Final = {"hybrid": FULL, "hybrid_sliding": SLIDING}
"""The names of these layers in transformers 5.24's Inkling."""
_SIXTEEN_BITS: Final = 2
_ROW: Final = 584
"""Bytes of a state of DeepSeek V4: 448 of fp8, 64 numbers of 16 bits, 8 of scales."""
_ALIGNED: Final = 576
_FOUR: Final = 4


def laguna(keys: Keys) -> Layers | None:
    """Laguna: kinds as listed, else every layer attends to all (models/laguna.py)."""
    types = layer_types(keys) or [FULL] * keys.layers
    return by_types(keys, types, {FULL: full, SLIDING: sliding})


def step3p5(keys: Keys) -> Layers | None:
    """Step 3.5 and 3.7: kinds as listed; the entries of the drafting layers come last (models/step3p5.py)."""
    listed = keys.get("layer_types")
    if listed is None:
        return [full(keys, index) for index in range(keys.layers)]
    if not isinstance(listed, list) or len(listed) < keys.layers:
        raise wrong("layer_types", f"one for each of the {keys.layers} layers", listed)
    types = [str(one) for one in listed[: keys.layers]]
    return by_types(keys, types, {FULL: full, SLIDING: sliding})


def mimo_v2(keys: Keys) -> Layers | None:
    """MiMo-V2: values are narrower than keys, and sliding layers have heads of their own (models/mimo_v2.py)."""
    types = layer_types(keys)
    if types is None:
        pattern = keys.checked_list("hybrid_layer_pattern", keys.layers)
        if pattern is None:
            return None
        types = [SLIDING if one == 1 else FULL for one in pattern]
    own = _with_own_heads(keys)

    def attends(some: Keys, index: int) -> LayerGroup:
        return full(some, index)._replace(value_dim=some.first("v_head_dim") or None)

    def slides(_keys: Keys, index: int) -> LayerGroup:
        return _windowed(attends(own, index), keys)

    return by_types(keys, types, {FULL: attends, SLIDING: slides})


def minimax_m3(keys: Keys) -> Layers | None:
    """MiniMax M3: every layer keeps all, and sparse layers a key for their index (vLLM's models/minimax_m3).

    The keys of the index are 16 bits wide, unless ``--attention-config`` says fp8.
    """
    sparse = keys.get("sparse_attention_config") or {}
    if not isinstance(sparse, dict):
        raise wrong("sparse_attention_config", "a map", sparse)
    index = Keys(sparse)
    every = index.checked_list("sparse_attention_freq", keys.layers) or [0] * keys.layers
    layers = [full(keys, number) for number in range(keys.layers)]
    if any(every):
        width = index.count("sparse_index_dim")
        layers += [LayerGroup(Kind.MLA, 1, 1, width, element_bytes=_SIXTEEN_BITS) for one in every if one]
    return layers


def inkling(keys: Keys) -> Layers | None:
    """Inkling: sliding layers have heads of their own, and every layer the inputs of four convolutions.

    Those are kept as a sliding window of as many tokens as the convolutions reach, in blocks of that size
    (vLLM's models/inkling/nvidia/sconv_swa_attn.py).
    """
    types = _inkling_types(keys)
    if types is None:
        return None
    own, layers = _with_own_heads(keys), []
    for index, kind in enumerate(types):
        shape = full(own if kind == SLIDING else keys, index)
        layers += [_windowed(shape, keys) if kind == SLIDING else shape, _convolutions(shape, keys)]
    return layers


def _inkling_types(keys: Keys) -> list[str] | None:
    listed = layer_types(keys)
    if listed is not None:
        return [_INKLING[one] for one in listed] if set(listed) <= set(_INKLING) else None
    local = keys.get("local_layer_ids")
    if local is None:
        return None
    if not isinstance(local, list) or not all(type(one) is int for one in local):
        raise wrong("local_layer_ids", "a list of whole numbers", local)
    return [SLIDING if index in set(local) else FULL for index in range(keys.layers)]


def _convolutions(shape: LayerGroup, keys: Keys) -> LayerGroup:
    """Return the cached inputs of a layer's convolutions: keys, values, and two of the model's width."""
    reach = keys.first("sconv_kernel_size", "conv_kernel_size")
    width = 2 * shape.head_dim + 2 * (keys.count("hidden_size") // shape.kv_heads)
    padded = 1 << (width - 1).bit_length()
    return LayerGroup(
        Kind.SLIDING, 1, shape.kv_heads, padded, window=reach, value_dim=0, element_bytes=_SIXTEEN_BITS, block=reach
    )


def lfm2(keys: Keys) -> Layers | None:
    """LFM2: layers that attend, and layers of a short convolution (models/lfm2.py, lfm2_moe.py)."""
    attending = keys.without("head_dim")
    types = layer_types(keys) or _lfm2_types(keys)
    width = keys.first("conv_dim") or keys.count("hidden_size")
    state = LayerGroup(Kind.MAMBA, 1, 0, 0, state=RecurrentState(width, keys.count("conv_L_cache"), 0))
    return by_types(attending, types, {FULL: full, _CONV: lambda _keys, _index: state})


def _lfm2_types(keys: Keys) -> list[str]:
    listed = keys.get("full_attn_idxs")
    if listed is not None and not (isinstance(listed, list) and all(type(one) is int for one in listed)):
        raise wrong("full_attn_idxs", "a list of whole numbers", listed)
    attending = set(range(keys.layers) if listed is None else listed)
    return [FULL if index in attending else _CONV for index in range(keys.layers)]


def _with_own_heads(keys: Keys) -> Keys:
    """Return the keys with those of the sliding layers in their place."""
    own = {"swa_num_key_value_heads": "num_key_value_heads", "swa_head_dim": "head_dim", "swa_v_head_dim": "v_head_dim"}
    changed = {usual: keys.get(name) for name, usual in own.items() if name in keys}
    return Keys({**keys.values, **changed})


def _windowed(shape: LayerGroup, keys: Keys) -> LayerGroup:
    window = keys.first("sliding_window_size", "sliding_window")
    return shape._replace(kind=Kind.SLIDING, window=window) if window else shape


def deepseek_v4(keys: Keys) -> Layers | None:
    """DeepSeek V4: a window in every layer, and in most layers a cache with one state for 4 or for 128 tokens.

    A layer with one state for 4 tokens also has an index with keys at the same rate. Compressors keep what they have
    not compressed yet, in 32 bits (vLLM's models/deepseek_v4, with rows of fp8_ds_mla: 584 bytes).
    """
    ratios = compress_ratios(keys)
    if ratios is None:
        return None
    width = keys.count("head_dim")
    index = keys.count("index_head_dim")
    layers = []
    for ratio in ratios:
        layers.append(_of_v4(_ROW, 64, keys.window or 128))
        if ratio > 1:
            overlap = 2 if ratio == _FOUR else 1
            block = 4 if ratio == _FOUR else 8
            layers.append(_of_v4(_ROW, 256, None, ratio))
            layers.append(_of_v4(8 * overlap * width, block, overlap * ratio))
        if ratio == _FOUR:
            layers += [_of_v4(index + 4, 256, None, ratio), _of_v4(16 * index, 4, 8)]
    return layers


def v4_draft() -> LayerGroup:
    """Return the cache of DeepSeek V4's drafting layer: a window."""
    return _of_v4(_ROW, 64, 128)


def compress_ratios(keys: Keys) -> list[int] | None:
    """Return how many tokens each layer of DeepSeek V4 compresses into one, 1 for none; None if that is not known."""
    listed = keys.get("compress_ratios")
    if isinstance(listed, list) and len(listed) >= keys.layers:
        ratios = [max(one, 1) if type(one) is int else 0 for one in listed[: keys.layers]]
        return ratios if set(ratios) <= {1, _FOUR, 128} else None
    types = layer_types(keys)
    rates = {SLIDING: 1, "compressed_sparse_attention": _FOUR, "heavily_compressed_attention": 128}
    return [rates[one] for one in types] if types is not None and set(types) <= set(rates) else None


def _of_v4(row: int, block: int, window: int | None, ratio: int = 1) -> LayerGroup:
    """Return a layer of ``row`` bytes a state, with one for ``ratio`` tokens, in pages of a multiple of 576 bytes."""
    page = -(-(block // ratio * row) // _ALIGNED) * _ALIGNED
    kind = Kind.MLA if window is None else Kind.SLIDING
    return LayerGroup(
        kind, 1, 1, -(-page // block), window=window, value_dim=0, element_bytes=1, block=block, page=page
    )
