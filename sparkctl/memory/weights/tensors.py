"""The tensors of a checkpoint's headers -> the tensors that vLLM loads, by component and by dtype."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base.lazy import regex
from sparkctl.memory.weights.load_options import QUERY_ALONE
from sparkctl.memory.weights.quantization import FP8, declared_config, scheme

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sparkctl.memory.weights.load_options import LoadOptions
    from sparkctl.memory.weights.quantization import Scheme


class Tensor(NamedTuple):
    """One entry of a safetensors header: its name, dtype as the format writes it, shape, and bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int


class LoadedTensors(NamedTuple):
    """Bytes by component and by dtype (both add up to the same sum); ``skipped`` is what is not loaded, by reason."""

    checkpoint_bytes: int
    by_component: Mapping[str, int]
    by_dtype: Mapping[str, int]
    skipped: Mapping[str, int]

    @property
    def bytes(self) -> int:
        """The sum of what is loaded."""
        return sum(self.by_component.values())


_FLOATS: Final = {"F32": 4, "F16": 2, "BF16": 2}
_DTYPES: Final = {"float32": "F32", "float": "F32", "float16": "F16", "half": "F16", "bfloat16": "BF16"}
_PACKED: Final = ("weight_packed", "qweight", "_blocks")
_QUANTIZED: Final = (".weight_packed", ".qweight", ".weight_scale", ".weight_scale_inv")
_SCALES: Final = regex(r"(scales?|scale_inv|scale_2|qzeros|g_idx|weight_shape|zero_point)$")
_DROPPED: Final = regex(
    r"(rotary_emb\.inv_freq|masked_bias|attn\.bias|k_scale|v_scale|weight_shape|num_batches_tracked)$"
)
"""Tensors that vLLM's loaders skip: buffers that vLLM makes itself, and cache scales that become numbers."""
_COPIES: Final = ("original/", "consolidated")
_INDEX: Final = regex(r"(?<=\.)\d+(?=\.)")
_LAYER: Final = regex(r"(?:^|\.)layers\.(\d+)\.")
_KEY_OR_VALUE: Final = regex(r"language_model\.(?:model\.)?layers\.(\d+)\.self_attn\.[kv]_(?:proj|norm)\.")

# The first of these that occurs in a tensor's name counts (Gemma, Qwen, Llama, DeepSeek, GLM, Nemotron, Phi, gpt-oss).
_COMPONENTS: Final = (
    ("draft", regex(r"(^|\.)mtp\.")),
    ("audio", regex(r"(^|\.)(audio_tower|audio_model|embed_audio|audio_projector|audio_encoder|sound)")),
    (
        "vision",
        regex(
            r"(^|\.)(vision_tower|vision_model|visual|vision_encoder|embed_vision|multi_modal_projector|vit|"
            r"patch_merger|vision_embed_tokens|image_newline|vision_projector|mm_projector)"
        ),
    ),
    ("per-layer embedding", regex(r"embed_tokens_per_layer")),
    ("embedding", regex(r"(embed_tokens|lm_head|wte|word_embeddings|embedding|\bembeddings)\b(?!.*norm)")),
    ("router", regex(r"(\.router\.|\.gate\.(weight|bias|e_score)|shared_expert_gate)")),
    ("experts", regex(r"\.experts\b|\.experts\.|block_sparse_moe\.experts|\.moe\.")),
    ("norm", regex(r"(norm|layernorm|ln_\w+|scalar|conv1d|A_log|\.D$|dt_bias|sinks)")),
    ("linear", regex(r"(proj|linear|fc\d?|dense|qkv|w[123]|c_attn|c_fc|gate|mixer|query_key_value)")),
)
_TOWERS: Final = frozenset({"vision", "audio"})
_LINEAR: Final = frozenset({"linear", "experts"})
_MATRIX: Final = 2


def loaded(tensors: Iterable[Tensor], config: Mapping[str, Any], options: LoadOptions) -> LoadedTensors:
    """Return the tensors that are loaded, and their width once loaded."""
    quantized, _ = scheme(config, options)
    declared = declared_config(config)
    packing = None if declared is None else _packing(declared)
    text = next((part for part in (config.get("text_config"),) if isinstance(part, dict)), config)
    layers, unused = _layers(text), _unused_layers(text, options)
    components: dict[str, int] = {}
    dtypes: dict[str, int] = {}
    skipped: dict[str, int] = {}
    tied = text.get("tie_word_embeddings", config.get("tie_word_embeddings")) is True
    total = 0
    for tensor in tensors:
        total += tensor.bytes
        kind = _kind(tensor.name)
        component = _component_of(tensor.name, kind, layers)
        reason = _reason(tensor.name, kind, component, tied=tied, unused=unused, options=options)
        if reason is not None:
            _add(skipped, reason, tensor.bytes)
            continue
        name, size = _as_built(tensor, kind, component, quantized if declared is None else None, options)
        _add(components, component, size)
        _add(dtypes, _label(tensor.name, kind, name, packing), size)
    return LoadedTensors(total, components, dtypes, skipped)


def component_of(name: str, layers: int | None = None) -> str:
    """Return the component of a tensor; layers after the model's last one are for drafting."""
    return _component_of(name, _kind(name), layers)


def _component_of(name: str, kind: str, layers: int | None) -> str:
    component = _component(kind)
    if layers is not None and component not in _TOWERS:
        index = _LAYER.search(name)
        if index and int(index[1]) >= layers:
            return "draft"
    return component


def is_quantized(name: str) -> bool:
    """Return whether only quantized checkpoints (compressed-tensors, ModelOpt, GPTQ, AWQ) have such a tensor."""
    return name.endswith(_QUANTIZED)


def shared_layers(config: Mapping[str, Any]) -> range | None:
    """Return the layers that read another layer's cache (Gemma 4's E2B and E4B), None where there are none."""
    nested = config.get("text_config")
    text: Mapping[str, Any] = nested if isinstance(nested, dict) else config
    shared, layers = text.get("num_kv_shared_layers"), _layers(text)
    if layers is None or type(shared) is not int or not 0 < shared < layers:
        return None
    return range(layers - shared, layers)


def keys_and_values(layers: range) -> re.Pattern[str]:
    """Return the pattern of the names of these layers' keys and values."""
    return re.compile(rf"\blayers\.({'|'.join(map(str, layers))})\.self_attn\.[kv]_(proj|norm)\.")


def without_shared_keys(config: Mapping[str, Any], tensors: Iterable[Tensor]) -> range | None:
    """Return the layers that read another's cache if a checkpoint has no keys and values for them, else None.

    Google's checkpoints have them; transformers omits them when it saves, from 5.5.4 on (vllm#44788).
    """
    shared = shared_layers(config)
    if shared is None:
        return None
    names = [tensor.name for tensor in tensors]
    keys, queries = keys_and_values(shared), re.compile(rf"\blayers\.{shared.start}\.self_attn\.q_proj\.")
    there = any(queries.search(name) for name in names)
    return shared if there and not any(keys.search(name) for name in names) else None


def _kind(name: str) -> str:
    """Return a tensor's name without the numbers of its layer and its expert, so that few different names are left."""
    return _INDEX.sub("0", name)


@cache
def _component(kind: str) -> str:
    return next((component for component, pattern in _COMPONENTS if pattern.search(kind)), "other")


@cache
def _dropped(kind: str) -> bool:
    return _DROPPED.search(kind) is not None


@cache
def _scales(kind: str) -> bool:
    return _SCALES.search(kind) is not None


def _layers(text: Mapping[str, Any]) -> int | None:
    layers = text.get("num_hidden_layers")
    return layers if isinstance(layers, int) and not isinstance(layers, bool) and layers > 0 else None


def _reason(
    name: str, kind: str, component: str, *, tied: bool, unused: int | None, options: LoadOptions
) -> str | None:
    """Return why a tensor is not loaded, or None; ``unused`` is the result of ``_unused_layers``."""
    if name.startswith(_COPIES):
        return "a second copy"
    if component == "draft" and not options.drafting_mtp:
        return "drafting layers"
    if component in _TOWERS and options.language_model_only:
        return f"{component} tower"
    if tied and name.endswith("lm_head.weight"):
        return "the head, which is the embedding"
    if unused is not None and (found := _KEY_OR_VALUE.search(name)) and int(found[1]) >= unused:
        return "keys and values of layers that read another's"
    return "buffers" if _dropped(kind) else None


def _unused_layers(text: Mapping[str, Any], options: LoadOptions) -> int | None:
    """Return the first layer that has no use for keys and values of its own, None if every layer uses them.

    Since 0.30 vLLM does not build their projections.
    """
    layers, shared = _layers(text), text.get("num_kv_shared_layers")
    if options.vllm < QUERY_ALONE or text.get("model_type") != "gemma4_text" or layers is None:
        return None
    return layers - shared if isinstance(shared, int) else None


def _as_built(
    tensor: Tensor, kind: str, component: str, online: Scheme | None, options: LoadOptions
) -> tuple[str, int]:
    """Return a tensor's dtype and bytes in the server."""
    name, size = tensor.dtype, tensor.bytes
    if name not in _FLOATS:
        return name, size
    count = size // _FLOATS[name]
    if online is not None and component in _LINEAR and len(tensor.shape) >= _MATRIX and name != "F32":
        return online.name, round(count * online.bits / 8)
    wanted = _DTYPES.get(options.dtype)
    if _scales(kind) or (name == "F32" and wanted is None and component == "norm"):
        return name, size
    # Weights take the model's dtype: 16 bits for a checkpoint in 32, unless they are asked for.
    built = wanted or ("BF16" if name == "F32" else name)
    return built, count * _FLOATS[built]


def _packing(declared: Mapping[str, Any]) -> str:
    """Return the name of the packed numbers in a checkpoint that declares its quantization."""
    text = str(declared).lower()
    return "NVFP4" if "nvfp4" in text else "MXFP4" if "mxfp4" in text else "packed integers"


def _label(name: str, kind: str, dtype: str, packing: str | None) -> str:
    """Return the dtype as people call it: to the format, packed 4-bit numbers are bytes."""
    if packing is None or dtype not in {"U8", "I32", "F8_E4M3", "F8_E8M0"}:
        return dtype
    if name.endswith(_PACKED) or (dtype == "U8" and name.endswith(".weight")):
        return packing
    return f"{dtype} scales" if _scales(kind) and dtype != FP8 else dtype


def _add(sums: dict[str, int], name: str, size: int) -> None:
    sums[name] = sums.get(name, 0) + size
