"""config.json -> the layers that own KV cache, as vLLM counts them.

Keys and defaults are those of transformers' configuration classes (5.19, ``configuration_*.py``). An architecture that
is not known counts every layer as full attention with the largest heads that its config names: too much, never too
little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.memory.model.architectures import LayerReading, read
from sparkctl.memory.model.config_keys import MAX_LAYERS, MAX_NUMBER, Keys, wrong
from sparkctl.memory.model.defaults import IDENTITY, KNOWN, SAME
from sparkctl.memory.model.drafters import Drafter, drafter_of, features
from sparkctl.memory.model.layers import Kind, LayerGroup, RecurrentState
from sparkctl.memory.model.unknown import upper_bound

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Geometry", "Kind", "LayerGroup", "RecurrentState", "geometry"]


class Geometry(NamedTuple):
    """The properties of a model that decide its memory. ``known`` is False if ``groups`` are an upper bound.

    ``mtp`` are the cache-owning layers that are loaded only for ``speculative: {method: mtp}``. ``kv_cache_dtype`` is
    the result of ``--kv-cache-dtype auto`` if the checkpoint was made for a quantized cache. ``caches`` is False for an
    encoder, which reads a whole text at once and keeps nothing of it; its ``groups`` are still its layers.
    ``shared_expert_intermediate`` is the width of all shared experts together. ``state_chunk`` is the number of tokens
    in a chunk if the model's class can cache a state at every block, else None. ``drafter`` is the kind of a draft
    model with a class of its own, and ``features`` how many of its target's states it reads. ``patch_bytes`` is the
    memory of a picture's token in a vision tower that takes pictures of any size, else 0.
    """

    architecture: str
    groups: tuple[LayerGroup, ...]
    layers: int
    hidden: int
    vocabulary: int
    intermediate: int = 0
    experts_per_token: int = 0
    expert_intermediate: int = 0
    per_layer_embedding: int = 0
    max_context: int | None = None
    known: bool = True
    warnings: tuple[str, ...] = ()
    mtp: tuple[LayerGroup, ...] = ()
    q_heads: int = 0
    experts: int = 0
    shared_expert_intermediate: int = 0
    kv_cache_dtype: str | None = None
    caches: bool = True
    state_chunk: int | None = None
    drafter: Drafter | None = None
    features: int = 0
    patch_bytes: int = 0


# Drafters whose layers all read their target's cache (transformers configuration_gemma4_assistant.py).
_SHARING_DRAFTS: Final = frozenset({"gemma4_assistant", "gemma4_unified_assistant"})
_TEXT_PARTS: Final = ("text_config", "llm_config", "language_config", "thinker_config")
_EXPERTS: Final = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_EXPERTS_PER_TOKEN: Final = (
    *("top_k_experts", "num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "moe_k"),
)
_SHARED: Final = ("shared_expert_intermediate_size", "shared_intermediate_size", "moe_shared_expert_intermediate_size")
# vLLM takes the least of these (transformers_utils/model_arch_config_convertor.py).
_CONTEXTS: Final = (
    *("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_target_positions"),
    *("max_sequence_length", "max_seq_length", "seq_len"),
)
_STRETCHING: Final = frozenset({"linear", "dynamic", "yarn"})
_OF_ITS_DECODER: Final = {
    "num_hidden_layers": "decoder_layers",
    "num_attention_heads": "decoder_attention_heads",
    "intermediate_size": "decoder_ffn_dim",
}
_TOLD_BY_IS_CAUSAL: Final = frozenset({"gemma3_text", "llama", "qwen2", "qwen3"})
_CACHED_AT_BLOCKS: Final = frozenset({"falcon_h1", "granite_hybrid", "jamba", "mamba", "mamba2", "nemotron_h"})
"""Families whose class is a SupportsMambaPrefixCaching (vLLM 0.20.2 to 0.32.0 model_executor/models)."""
_CHUNK: Final = 2048
"""Tokens of a chunk where the config names none (vLLM 0.26.0 config/model.py, get_mamba_chunk_size)."""
_FP8_BITS: Final = 8
_FP4_BITS: Final = 4


def geometry(config: Mapping[str, Any]) -> Geometry:
    """Return the geometry of the text model that ``config`` (a config.json as a map) describes.

    Raises:
        InputError: a number that is missing, is none, or is impossible.
    """
    text, kind = _text_part(config)
    keys = _keys(config, text, kind)
    shared = keys.first("num_kv_shared_layers")
    name = _architecture(config)
    drafter = drafter_of(name)
    family = str(drafter) if drafter is Drafter.DFLASH else KNOWN[kind].family if kind in KNOWN else None
    found = read(family, keys) if family is not None else None
    layers = found.layers if found else keys.layers
    if shared > layers:
        raise wrong("num_kv_shared_layers", f"at most the {layers} layers", shared)
    name = name or str(text.get("model_type") or config.get("model_type") or "")
    reading = found or _unread(name, keys)
    attends = any(group.state is None for group in reading.groups)
    return Geometry(
        architecture=name,
        groups=reading.groups,
        layers=reading.layers,
        hidden=keys.count("hidden_size"),
        vocabulary=keys.count("vocab_size"),
        intermediate=keys.largest("intermediate_size"),
        experts_per_token=keys.largest(*_EXPERTS_PER_TOKEN),
        expert_intermediate=_expert_width(keys),
        per_layer_embedding=keys.first("hidden_size_per_layer_input"),
        max_context=_max_context(keys, kind),
        known=found is not None,
        warnings=reading.warnings,
        mtp=reading.mtp,
        q_heads=keys.largest("num_attention_heads") if attends else 0,
        experts=keys.largest(*_EXPERTS),
        shared_expert_intermediate=_shared_width(keys),
        kv_cache_dtype=_kv_cache_dtype(config, text),
        caches=not _reads_both_ways(name, keys, kind),
        state_chunk=_state_chunk(keys, kind),
        drafter=drafter,
        features=features(keys) if drafter is not None else 0,
        patch_bytes=_patch_bytes(config),
    )


def text_keys(config: Mapping[str, Any]) -> tuple[Keys, str]:
    """Return the keys of the text model with what its class fills in, and its model_type.

    Raises:
        InputError: a part that is no map.
    """
    text, kind = _text_part(config)
    return _keys(config, text, kind), kind


def reads_at_once(config: Mapping[str, Any]) -> bool:
    """Return whether a model reads a whole text at once, each token with the tokens after it, and so caches nothing.

    Raises:
        InputError: a part that is no map.
    """
    return _reads_both_ways(_architecture(config), *text_keys(config))


def _text_part(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Return the map of the text model, and the model_type that says how to read it."""
    for name in _TEXT_PARTS:
        part = config.get(name)
        if part is not None:
            if not isinstance(part, dict):
                raise wrong(name, "a map", part)
            text, kind = _text_part(part)
            return text, kind or _type(config)
    return config, _type(config)


def _type(config: Mapping[str, Any]) -> str:
    written = str(config.get("model_type") or "")
    return SAME.get(written, written)


def _keys(config: Mapping[str, Any], text: Mapping[str, Any], kind: str) -> Keys:
    """Return the text model's keys, with what its class fills in."""
    nested = text is not config
    written = dict(text)
    if nested and "vocab_size" not in written:
        written |= {"vocab_size": config["vocab_size"]} if config.get("vocab_size") is not None else {}
    if kind == "whisper":
        # Keys without a prefix are the encoder's (transformers configuration_whisper.py); the text is the decoder's.
        written |= {to: written[of] for to, of in _OF_ITS_DECODER.items() if written.get(of) is not None}
    if str(config.get("model_type")) in _SHARING_DRAFTS:
        written["num_kv_shared_layers"] = written.get("num_hidden_layers")
    defaults = dict(KNOWN[kind].defaults) if kind in KNOWN else {}
    if not nested:
        defaults = {key: value for key, value in defaults.items() if key not in IDENTITY}
    keys = Keys(written, defaults)
    heads = keys.get("num_attention_heads")
    fewer = isinstance(heads, int) and heads < defaults.get("num_key_value_heads", 0)
    # More key-value heads than query heads cannot be the model's own: the class's default is for another model.
    return Keys(written, {key: value for key, value in defaults.items() if not fewer or key != "num_key_value_heads"})


def _reads_both_ways(architecture: str, keys: Keys, kind: str) -> bool:
    """Return whether every token sees those after it, which needs no cache (``EncoderOnlyAttention`` in vLLM 0.32.0).

    This holds for encoders, and for text models that were trained or configured that way: the classes of Llama, Qwen 2
    and 3 and Gemma 3 read ``is_causal`` (models/qwen2.py), EmbeddingGemma's config has its own key (models/config.py).
    """
    if kind in KNOWN and KNOWN[kind].family == "encoder":
        return True
    told = keys.get("is_causal") is False and kind in _TOLD_BY_IS_CAUSAL
    return (
        told
        or "Bidirectional" in architecture
        or (kind == "gemma3_text" and keys.get("use_bidirectional_attention") is True)
    )


def _unread(name: str, keys: Keys) -> LayerReading:
    """Return the upper bound, and say that it is one."""
    bound = upper_bound(keys)
    drafting = keys.first("mtp_num_hidden_layers", "num_nextn_predict_layers")
    if drafting > MAX_LAYERS:
        raise wrong("num_nextn_predict_layers", f"a whole number from 0 to {MAX_LAYERS}", drafting)
    known = name or "an architecture without a name"
    warning = f"{known} is not known: every layer is counted as full attention, which may be too much"
    mtp = (bound._replace(layers=drafting),) if drafting else ()
    return LayerReading((bound,), mtp, keys.layers, (warning,))


def _architecture(config: Mapping[str, Any]) -> str:
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else ""


def _expert_width(keys: Keys) -> int:
    """Return the width of one expert; if no key gives it, experts are as wide as a dense layer."""
    own = keys.largest("moe_intermediate_size")
    return own or (keys.largest("intermediate_size") if keys.largest(*_EXPERTS) else 0)


def _shared_width(keys: Keys) -> int:
    named = keys.largest(*_SHARED)
    number = keys.largest("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
    # Nemotron-H gives the width of one shared expert, the other models that of all together.
    if named:
        return named * (number or 1) if "moe_shared_expert_intermediate_size" in keys else named
    return number * _expert_width(keys)


def _state_chunk(keys: Keys, kind: str) -> int | None:
    if kind not in KNOWN or KNOWN[kind].family not in _CACHED_AT_BLOCKS:
        return None
    return keys.first("mamba_chunk_size", "chunk_size") or _CHUNK


def _patch_bytes(config: Mapping[str, Any]) -> int:
    """Return the bytes of a picture's token in its tower at one time: residuals and feed-forward, 16 bits each."""
    vision = config.get("vision_config")
    if not isinstance(vision, dict) or vision.get("spatial_merge_size") is None:
        return 0
    keys = Keys(vision)
    width = keys.first("hidden_size", "embed_dim")
    return keys.count("spatial_merge_size") ** 2 * (4 * width + 2 * keys.first("intermediate_size")) * 2


def _max_context(keys: Keys, kind: str) -> int | None:
    """Return the longest context that vLLM accepts by itself, or None where the config does not say it.

    A rope scaling multiplies it by its factor, as in vLLM's ``_get_and_verify_max_len``: for yarn, the original length
    that it names (0.21.0; 0.33.0 takes the config's maximum as already scaled). If this is too long, vLLM itself
    reports it. Gemma 3's maximum is known to be scaled already.
    """
    longest = keys.first("model_max_length") or min((keys.first(name) for name in _CONTEXTS if name in keys), default=0)
    if not longest:
        return None
    for name in ("rope_scaling", "rope_parameters"):
        scaling = keys.get(name)
        if not isinstance(scaling, dict) or kind == "gemma3_text":
            continue
        factor, sort = scaling.get("factor"), scaling.get("rope_type", scaling.get("type"))
        if isinstance(factor, int | float) and 1 < factor <= MAX_NUMBER and str(sort) in _STRETCHING:
            original = Keys(scaling).first("original_max_position_embeddings") if sort == "yarn" else 0
            return max(longest, int((original or longest) * factor))
    return longest


def _kv_cache_dtype(config: Mapping[str, Any], text: Mapping[str, Any]) -> str | None:
    """Return what ``--kv-cache-dtype auto`` comes to, or None where that is the model's own type.

    ModelOpt's checkpoints decide it by ``kv_cache_quant_algo`` or ``kv_cache_scheme`` (vLLM 0.33.0 utils/torch_utils.py
    resolve_kv_cache_dtype_string, 0.21.0 alike), those of compressed-tensors by ``kv_cache_scheme``
    (layers/attention/attention.py).
    """
    own = config.get("quantization_config")
    if isinstance(own, dict) and _by_modelopt(own):
        inner = own.get("quantization")
        inside = inner if isinstance(inner, dict) else own
        names = ("kv_cache_scheme", "kv_cache_quant_algo")
        algorithm = next((value for name in names for part in (inside, own) if (value := part.get(name))), None)
        return _modelopt_dtype(algorithm)
    written = (part.get(name) for part in (config, text) for name in ("quantization_config", "compression_config"))
    return (
        "fp8"
        if any(isinstance(one, dict) and isinstance(one.get("kv_cache_scheme"), dict) for one in written)
        else None
    )


def _by_modelopt(quantization: Mapping[str, Any]) -> bool:
    producer = quantization.get("producer")
    named = isinstance(producer, dict) and producer.get("name") == "modelopt"
    return named or str(quantization.get("quant_method") or "").lower().startswith("modelopt")


def _modelopt_dtype(algorithm: object) -> str | None:
    if isinstance(algorithm, str):
        return {"fp8": "fp8_e4m3", "nvfp4": "nvfp4"}.get(algorithm.lower())
    if not isinstance(algorithm, dict) or algorithm.get("type") != "float":
        return None
    if algorithm.get("num_bits") == _FP8_BITS and algorithm.get("dynamic") is False:
        return "fp8_e4m3"
    return "nvfp4" if algorithm.get("num_bits") == _FP4_BITS else None
