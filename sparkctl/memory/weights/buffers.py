"""Memory that vLLM holds in addition to a checkpoint's tensors, and logs as loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from packaging.version import Version

from sparkctl.memory.model.geometry import geometry, text_keys
from sparkctl.memory.model.layers import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.memory.model.config_keys import Keys
    from sparkctl.memory.weights.load_options import LoadOptions

_ELEMENT_BYTES: Final = 2
_POSITIONS_AS_THEY_ARE: Final = Version("0.32.0.dev0")


def buffers(config: Mapping[str, Any], options: LoadOptions) -> dict[str, int]:
    """Return the bytes of each kind of buffer.

    Raises:
        InputError: a number that is missing, is none, or is impossible.
    """
    keys, kind = text_keys(config)
    found = {"rotary caches": _rotary(config, keys) * _positions(keys, options.vllm)}
    width = keys.first("hidden_size_per_layer_input")
    if width and isinstance(config.get("vision_config"), dict) and kind == "gemma4_text":
        # Multimodal models also keep the per-layer embeddings of a batch (vLLM 0.21.0 to 0.33.0 gemma4_mm.py).
        found["per-layer embeddings of a batch"] = options.batched_tokens * keys.layers * width * _ELEMENT_BYTES
    return {name: size for name, size in found.items() if size}


def _rotary(config: Mapping[str, Any], keys: Keys) -> int:
    """Return the cosines and sines of every position, once for each width of head.

    Within 0.2 % of what four sizes of Gemma 4 took (vLLM 0.20.2 on an H200).
    """
    shape = geometry(config)
    rotary = keys.first("qk_rope_head_dim")
    attending = [group for group in shape.groups if group.state is None and group.element_bytes is None]
    widths = {rotary if group.kind is Kind.MLA else group.head_dim for group in attending}
    share = _partial(keys)
    part = float(share) if isinstance(share, int | float) and 0 < share < 1 else 1.0
    return round((shape.max_context or 0) * sum(widths) * part) * _ELEMENT_BYTES


def _partial(keys: Keys) -> object:
    """Return the share of a head that is rotated, from the config or its rope_parameters; None if all of it is."""
    if "partial_rotary_factor" in keys:
        return keys.get("partial_rotary_factor")
    rope = keys.get("rope_parameters")
    return rope.get("partial_rotary_factor") if isinstance(rope, dict) else None


def _positions(keys: Keys, vllm: Version) -> int:
    """Return the length of the rotary caches in longest contexts: four if positions have three axes.

    M-RoPE needs this for videos (vLLM 0.20.2 to 0.29.0 rotary_embedding/mrope.py); since 0.32 the classes of Qwen3-VL
    and its successors do it only with ``--video-pruning-rate`` (models/qwen3_vl.py, mrope_positions_factor).
    """
    for name in ("rope_parameters", "rope_scaling"):
        rope = keys.get(name)
        if isinstance(rope, dict) and "mrope_section" in rope:
            return 1 if vllm >= _POSITIONS_AS_THEY_ARE and rope.get("mrope_interleaved") else 4
    return 1


def built_beside(config: Mapping[str, Any], options: LoadOptions) -> int:
    """Return the bytes of parameters that vLLM builds and a checkpoint does not have.

    Gemma 4's full layers with ``attention_k_eq_v`` use their keys as values: the checkpoint has no values, and the
    fused projection has room for them (vLLM 0.33.0 models/gemma4.py).
    """
    keys, kind = text_keys(config)
    if kind != "gemma4_text" or not keys.get("attention_k_eq_v"):
        return 0
    full = [group for group in geometry(config).groups if group.kind is Kind.FULL]
    values = sum(group.layers * group.kv_heads * group.head_dim for group in full) * keys.count("hidden_size")
    return values * (1 if options.quantization == "fp8" else _ELEMENT_BYTES)
