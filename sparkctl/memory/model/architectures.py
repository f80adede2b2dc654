"""The layers that own cache, by architecture: one reading for each way in which vLLM builds its models.

Read in vLLM 0.33.0's ``model_executor/models``; 0.21.0 and 0.32.0 agree unless said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.memory.model import attention, drafters, own_shapes, state_layers
from sparkctl.memory.model.attention import FULL, LINEAR, Layers
from sparkctl.memory.model.config_keys import MAX_LAYERS, Keys, wrong
from sparkctl.memory.model.layers import Kind, LayerGroup, merged

if TYPE_CHECKING:
    from collections.abc import Callable

# Signs of a cache that is not keys and values per token: MLA, Mamba and linear attention, chunked attention.
_FOREIGN: Final = (
    *("kv_lora_rank", "index_topk", "compress_ratios", "attention_chunk_size", "block_configs"),
    *("linear_num_value_heads", "linear_attn_config", "hybrid_override_pattern"),
    *("mamba_num_heads", "ssm_state_size", "mamba_d_state"),
)
_LETTERS: Final = {"M": LINEAR, "*": FULL, "E": "moe", "-": "mlp"}
_NEMOTRON_H_WORDS: Final = {"mamba": LINEAR, "attention": FULL}


class LayerReading(NamedTuple):
    """The layers that own cache, the layers that drafting by MTP adds, and the number of all layers."""

    groups: tuple[LayerGroup, ...]
    mtp: tuple[LayerGroup, ...]
    layers: int
    warnings: tuple[str, ...] = ()


def read(family: str, keys: Keys) -> LayerReading | None:
    """Return the layers that ``family`` reads from a config, or None if its keys are not those of that family.

    Raises:
        InputError: a number that is missing, or is impossible.
    """
    if family in _ATTENDING and any(keys.get(name) for name in _FOREIGN):
        return None
    layers = (_ATTENDING | _OTHERS)[family](keys)
    if layers is None:
        return None
    if family in {"alternating", "gemma4"}:
        layers = attention.without_shared(keys, layers)
    number = len(_nemotron_h_types(keys)) if family == "nemotron_h" else keys.layers
    return LayerReading(merged(layers), merged(_mtp(family, keys, layers)), number, _warnings(family, keys))


def _warnings(family: str, keys: Keys) -> tuple[str, ...]:
    if family == "qwen" and len(set(attention.qwen_types(keys) or ())) > 1:
        return ("vLLM refuses a sliding window in only some layers of this model: all are counted as full attention",)
    if family == "deepseek_v4":
        return (
            "the cache is counted in vLLM's rows of fp8_ds_mla; plain rows of 16 bits take up to 1.8 times as much",
        )
    return ()


def _encoder(keys: Keys) -> Layers:
    """BERT and its kin: every layer attends with all its heads, and none of them keeps anything."""
    return [attention.full(keys.without("num_key_value_heads"))] * keys.layers


def _whisper(keys: Keys) -> Layers:
    """Whisper's decoder: each layer caches what was written, and what the encoder heard (vLLM 0.32.0 whisper.py)."""
    own = attention.full(keys)
    return [own, own._replace(kind=Kind.CROSS)] * keys.layers


def _qwen3_next(keys: Keys) -> Layers | None:
    return _qwen_hybrid(keys, state_layers.gated_delta_net(keys))


def _qwen3_5(keys: Keys) -> Layers | None:
    return _qwen_hybrid(keys, state_layers.gated_delta_net(keys, dtype_key="mamba_ssm_dtype"))


def _qwen_hybrid(keys: Keys, linear: LayerGroup) -> Layers | None:
    """Return one layer of full attention in each interval; the others keep a state."""
    types = attention.layer_types(keys)
    if types is None:
        interval = keys.count("full_attention_interval")
        types = [LINEAR if (index + 1) % interval else FULL for index in range(keys.layers)]
    return attention.by_types(keys, types, {FULL: attention.full, LINEAR: lambda _keys, _index: linear})


def _granite_hybrid(keys: Keys) -> Layers | None:
    """Granite 4: layers as listed, all Mamba if nothing is listed; its heads share the hidden width."""
    name = "layer_types" if "layer_types" in keys else "layers_block_type"
    types = attention.layer_types(keys, name) or [LINEAR] * keys.layers
    mamba = state_layers.parallel_mamba2(keys) if LINEAR in types else None
    attending = keys.without("head_dim", "sliding_window")
    layer = {FULL: lambda _keys, index: attention.full(attending, index)}
    return attention.by_types(keys, types, layer | ({LINEAR: lambda _keys, _index: mamba} if mamba else {}))


def _falcon_h1(keys: Keys) -> Layers:
    """Every layer attends and keeps a state."""
    state = state_layers.parallel_mamba2(keys, own_width=True)
    return [group for index in range(keys.layers) for group in (attention.full(keys, index), state)]


def _jamba(keys: Keys) -> Layers:
    """One layer in each period attends; its heads share the hidden width."""
    period, offset = keys.count("attn_layer_period"), keys.first("attn_layer_offset")
    state = state_layers.jamba(keys)
    attending = attention.full(keys.without("head_dim"))
    return [attending if index % period == offset else state for index in range(keys.layers)]


def _nemotron_h(keys: Keys) -> Layers:
    """Return each layer as the pattern says; a window in the config applies to the attention layers."""
    types = _nemotron_h_types(keys)
    attending = attention.sliding(keys) if FULL in types else None
    state = state_layers.nemotron_h(keys) if LINEAR in types else None
    made = {FULL: attending, LINEAR: state}
    return [layer for kind in types if (layer := made.get(kind)) is not None]


def _nemotron_h_types(keys: Keys) -> list[str]:
    for name in ("layers_block_type", "layer_types", "hybrid_override_pattern"):
        written = keys.get(name)
        if written is not None:
            return _block_types(name, written)
    message = "the kinds of its layers (or layers_block_type)"
    raise wrong("hybrid_override_pattern", message, None)


def _block_types(name: str, written: object) -> list[str]:
    """Return the kinds that a pattern of letters, or a list of words, stands for."""
    if isinstance(written, str):
        types = [_LETTERS.get(letter, letter) for letter in written]
    elif isinstance(written, list):
        types = [_NEMOTRON_H_WORDS.get(str(word), str(word)) for word in written]
    else:
        types = []
    if not 0 < len(types) <= MAX_LAYERS or not set(types) <= set(_LETTERS.values()):
        raise wrong(name, "a letter of M*E- or a word for each layer", written)
    return types


def _mamba(keys: Keys) -> Layers:
    return [state_layers.mamba(keys)] * keys.layers


def _mamba2(keys: Keys) -> Layers:
    return [state_layers.mamba2(keys)] * keys.layers


_ATTENDING: Final[dict[str, Callable[[Keys], Layers | None]]] = {
    "listed": attention.listed,
    "plain": attention.plain,
    "qwen": attention.qwen,
    "qwen_window": attention.qwen_window,
    "gpt_oss": attention.gpt_oss,
    "chatglm": attention.chatglm,
    "alternating": attention.alternating,
    "cohere2": attention.cohere2,
    "gemma4": attention.gemma4,
    "laguna": own_shapes.laguna,
    "step3p5": own_shapes.step3p5,
    "mimo_v2": own_shapes.mimo_v2,
    "dflash": drafters.dflash,
}
_OTHERS: Final[dict[str, Callable[[Keys], Layers | None]]] = {
    "chunked": attention.chunked,
    "mla": attention.mla,
    "nemotron_nas": attention.nemotron_nas,
    "qwen3_next": _qwen3_next,
    "qwen3_5": _qwen3_5,
    "granite_hybrid": _granite_hybrid,
    "falcon_h1": _falcon_h1,
    "jamba": _jamba,
    "nemotron_h": _nemotron_h,
    "mamba": _mamba,
    "mamba2": _mamba2,
    "encoder": _encoder,
    "whisper": _whisper,
    "lfm2": own_shapes.lfm2,
    "minimax_m3": own_shapes.minimax_m3,
    "inkling": own_shapes.inkling,
    "deepseek_v4": own_shapes.deepseek_v4,
}


def _mtp(family: str, keys: Keys, layers: Layers) -> Layers:
    """Return the cache-owning layers among the drafting layers of a checkpoint (vLLM's ``*_mtp.py``)."""
    number = keys.count(name, least=0, most=MAX_LAYERS) if (name := _mtp_key(keys)) else 0
    if not number:
        return []
    if family == "mla":
        one = [attention.mla_layer(keys), *([attention.indexer(keys)] if "index_topk" in keys else [])]
        return one * number
    if family == "deepseek_v4":
        return [own_shapes.v4_draft()] * number
    if family == "nemotron_h":
        name = "mtp_hybrid_override_pattern" if "mtp_hybrid_override_pattern" in keys else "mtp_layers_block_type"
        return [attention.sliding(keys)] * (_block_types(name, keys.get(name)).count(FULL) * number)
    attending = [layer for layer in layers if layer.state is None and layer.element_bytes is None]
    widest = max(attending, key=lambda layer: layer.kv_heads * layer.head_dim, default=None)
    if widest is None:
        return []
    return [LayerGroup(Kind.FULL, number, widest.kv_heads, widest.head_dim, value_dim=widest.value_dim)]


def _mtp_key(keys: Keys) -> str | None:
    return next((name for name in ("mtp_num_hidden_layers", "num_nextn_predict_layers") if name in keys), None)
