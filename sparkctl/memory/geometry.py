"""config.json -> the layers that own KV cache, as vLLM counts them.

Keys and defaults are those of transformers' configuration classes (5.19, ``configuration_*.py``). An architecture that
is not known counts every layer as full attention with the largest heads that its config names: too much, never too
little.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from sparkctl.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(StrEnum):
    """How a layer's cache grows: with the context, up to a window or a chunk, or not at all (a state)."""

    FULL = "full"
    SLIDING = "sliding"
    CHUNKED = "chunked"
    MLA = "mla"
    MAMBA = "mamba"
    LINEAR = "linear"


@dataclass(frozen=True, slots=True)
class State:
    """The recurrent state of one Mamba or linear-attention layer, for one sequence.

    The convolution keeps ``conv_width`` channels of ``conv_kernel`` - 1 tokens (and one more for each drafted token);
    the recurrence keeps ``recurrent`` numbers. ``conv_bytes`` and ``recurrent_bytes`` are the bytes of one number.
    """

    conv_width: int
    conv_kernel: int
    recurrent: int
    conv_bytes: int = 2
    recurrent_bytes: int = 2


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """``layers`` layers of one shape that own cache. ``window`` is in tokens: of sliding or chunked attention.

    MLA has one head of ``head_dim`` (latent and rotary) and no values; ``value_dim`` is None where values are as wide
    as keys. A layer with a ``state`` has no heads.
    """

    kind: Kind
    layers: int
    kv_heads: int
    head_dim: int
    window: int | None = None
    value_dim: int | None = None
    state: State | None = None


@dataclass(frozen=True, slots=True)
class Geometry:
    """What of a model's shape decides its memory. ``known`` is False where ``groups`` are an upper bound."""

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


_UNIFORM: Final = frozenset({"llama", "mistral", "qwen2", "qwen3"})
_HYBRID: Final = frozenset({"gemma2", "gemma3_text", "gemma3n_text", "gemma4_text"})
# Signs of a cache that is not keys and values per token: MLA, Mamba and linear attention, chunked attention.
_FOREIGN: Final = (
    "kv_lora_rank",
    "linear_num_value_heads",
    "mamba_num_heads",
    "ssm_state_size",
    "mamba_d_state",
    "hybrid_override_pattern",
    "attention_chunk_size",
    "block_configs",
)
# Drafters whose layers all read their target's cache (transformers configuration_gemma4_assistant.py).
_SHARING_DRAFTS: Final = frozenset({"gemma4_assistant", "gemma4_unified_assistant"})
_TEXT_PARTS: Final = ("text_config", "llm_config", "language_config", "thinker_config")
_STRETCHING: Final = frozenset({"linear", "dynamic", "yarn"})
_ATTENTION: Final = {"full_attention": Kind.FULL, "sliding_attention": Kind.SLIDING}

_GEMMA: Final = {"head_dim": 256, "num_attention_heads": 8}
_DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "gemma2": _GEMMA
    | {"num_key_value_heads": 4, "vocab_size": 256_000, "sliding_window": 4096, "sliding_window_pattern": 2},
    "gemma3_text": _GEMMA
    | {"num_key_value_heads": 4, "vocab_size": 262_208, "sliding_window": 4096, "sliding_window_pattern": 6},
    "gemma3n_text": _GEMMA
    | {"num_key_value_heads": 2, "vocab_size": 262_400, "sliding_window": 512, "sliding_window_pattern": 5}
    | {"num_kv_shared_layers": 15, "hidden_size_per_layer_input": 256},
    "gemma4_text": _GEMMA
    | {"num_key_value_heads": 4, "vocab_size": 262_144, "sliding_window": 512, "sliding_window_pattern": 6}
    | {"global_head_dim": 512, "hidden_size_per_layer_input": 256},
}
_MAX_NUMBER: Final = 2**31
"""No count or width in a config.json is larger; 10^12 is a mistake, not a model."""

_MAX_LAYERS: Final = 10_000


def geometry(config: Mapping[str, Any]) -> Geometry:
    """Return the geometry of the text model that ``config`` (a config.json as a map) describes.

    Raises:
        InputError: a number that is missing, is none, or is impossible.
    """
    text = _text_part(config)
    kind = str(text.get("model_type") or config.get("model_type") or "")
    written = {key: value for key, value in text.items() if value is not None}
    if str(config.get("model_type")) in _SHARING_DRAFTS:
        written["num_kv_shared_layers"] = written.get("num_hidden_layers")
    keys = _Keys({**_DEFAULTS.get(kind, {}), **written})
    layers = keys.count("num_hidden_layers", most=_MAX_LAYERS)
    hidden = keys.count("hidden_size")
    warnings: list[str] = []
    groups = _known_groups(kind, keys, layers, warnings)
    if groups is None:
        name = _architecture(config) or kind or "an architecture without a name"
        warnings.append(f"{name} is not known: every layer is counted as full attention, which may be too much")
    return Geometry(
        architecture=_architecture(config) or kind,
        groups=groups if groups is not None else _upper_bound(text, keys, layers),
        layers=layers,
        hidden=hidden,
        vocabulary=keys.count("vocab_size"),
        intermediate=keys.largest("intermediate_size"),
        experts_per_token=keys.first("top_k_experts", "num_experts_per_tok", "num_experts_per_token"),
        expert_intermediate=keys.first("moe_intermediate_size"),
        per_layer_embedding=keys.first("hidden_size_per_layer_input"),
        max_context=_max_context(keys),
        known=groups is not None,
        warnings=tuple(warnings),
    )


def _text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in _TEXT_PARTS:
        part = config.get(name)
        if part is not None:
            if not isinstance(part, dict):
                message = f"config: {name}: expected a map, found {part!r}"
                raise InputError(message, hint="compare it with the model's own config.json")
            return _text_part(part)
    return config


def _architecture(config: Mapping[str, Any]) -> str:
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else ""


class _Keys:
    """The numbers of a config, read with care."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def count(self, name: str, *, least: int = 1, most: int = _MAX_NUMBER) -> int:
        """Return a number that has to be there."""
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            found = "nothing" if value is None else repr(value)
            message = f"config: {name}: expected a whole number from {least} to {most}, found {found}"
            raise InputError(message, hint="compare it with the model's own config.json")
        return value

    def first(self, *names: str) -> int:
        """Return the first of these numbers that is there, or 0."""
        return next((self.count(name, least=0) for name in names if self.values.get(name) is not None), 0)

    def largest(self, name: str) -> int:
        """Return a number that may be written once for each layer, or 0."""
        value = self.values.get(name)
        if isinstance(value, list):
            return max((_Keys({name: item}).count(name, least=0) for item in value), default=0)
        return self.first(name)

    @property
    def kv_heads(self) -> int:
        return self.count("num_key_value_heads" if "num_key_value_heads" in self.values else "num_attention_heads")

    @property
    def head_dim(self) -> int:
        if "head_dim" in self.values:
            return self.count("head_dim")
        # Rounded up: a width that the heads do not divide is an error of vLLM's to report, not a reason to count less.
        return -(-self.count("hidden_size") // self.count("num_attention_heads"))


def _known_groups(kind: str, keys: _Keys, layers: int, warnings: list[str]) -> tuple[LayerGroup, ...] | None:
    """Return the layers that own KV cache, or None where the architecture is not known."""
    if any(keys.values.get(name) is not None for name in _FOREIGN):
        return None
    kinds = _kinds(kind, keys, layers, warnings)
    if kinds is None:
        return None
    # The last layers of Gemma 3n and 4 read the cache of earlier ones (vLLM 0.33.0 models/gemma4.py:471-510), and those
    # of Gemma 4's drafters their target's (vLLM 0.32.0 models/gemma4_mtp.py).
    shared = keys.first("num_kv_shared_layers")
    if shared > layers:
        message = f"config: num_kv_shared_layers: expected at most the {layers} layers, found {shared}"
        raise InputError(message, hint="compare it with the model's own config.json")
    counted: dict[LayerGroup, int] = {}
    for index, one in enumerate(kinds[: layers - shared]):
        group = _layer(kind, keys, one, index)
        counted[group] = counted.get(group, 0) + 1
    return tuple(
        LayerGroup(group.kind, count, group.kv_heads, group.head_dim, group.window) for group, count in counted.items()
    )


def _kinds(kind: str, keys: _Keys, layers: int, warnings: list[str]) -> list[Kind] | None:
    """Return the kind of every layer, or None where it is not known."""
    listed = keys.values.get("layer_types")
    if listed is not None:
        if not isinstance(listed, list) or len(listed) != layers:
            found = f"{len(listed)} entries" if isinstance(listed, list) else repr(listed)
            message = f"config: layer_types: expected one for each of the {layers} layers, found {found}"
            raise InputError(message, hint="compare it with the model's own config.json")
        return [_ATTENTION[name] for name in listed] if all(name in _ATTENTION for name in map(str, listed)) else None
    if kind in _HYBRID:
        pattern = keys.count("sliding_window_pattern")
        kinds = [Kind.SLIDING if (index + 1) % pattern else Kind.FULL for index in range(layers)]
        return [*kinds[:-1], Kind.FULL] if kind == "gemma4_text" else kinds
    if kind not in _UNIFORM:
        return None
    if keys.values.get("use_sliding_window"):
        warnings.append("use_sliding_window without layer_types: every layer is counted as full attention")
    window_everywhere = kind == "mistral" and keys.values.get("sliding_window") is not None
    return [Kind.SLIDING if window_everywhere else Kind.FULL] * layers


def _layer(kind: str, keys: _Keys, attention: Kind, index: int) -> LayerGroup:
    """Return the shape of one layer."""
    if attention is Kind.SLIDING:
        return LayerGroup(attention, 1, keys.kv_heads, keys.head_dim, keys.count("sliding_window"))
    heads, width = keys.kv_heads, keys.head_dim
    if kind == "gemma4_text":
        width = keys.count("global_head_dim")
        # The rule of transformers' Gemma4TextConfig: the key counts only where keys serve as values. The cache
        # holds both all the same (vLLM 0.33.0 models/gemma4.py:421).
        if keys.values.get("attention_k_eq_v") and "num_global_key_value_heads" in keys.values:
            heads = keys.count("num_global_key_value_heads")
    own = keys.values.get("per_layer_config")
    if isinstance(own, dict) and isinstance(mine := own.get(str(index), own.get(index)), dict):
        special = _Keys(mine)
        heads, width = special.first("num_key_value_heads") or heads, special.first("head_dim") or width
    return LayerGroup(attention, 1, heads, width)


def _upper_bound(text: Mapping[str, Any], keys: _Keys, layers: int) -> tuple[LayerGroup, ...]:
    """Return every layer as full attention with the most heads and the widest head that any key names."""
    heads = max([_largest_of(text, ("key_value_heads", "kv_heads")), *([] if _named(text) else [keys.kv_heads])])
    widths = [_largest_of(text, ("head_dim",)), _sum_of(keys, "qk_nope_head_dim", "qk_rope_head_dim")]
    width = max(widths) or keys.head_dim
    return (LayerGroup(Kind.FULL, layers, heads, width),)


def _named(text: Mapping[str, Any]) -> bool:
    return _largest_of(text, ("key_value_heads", "kv_heads")) > 0


def _largest_of(text: Mapping[str, Any], endings: tuple[str, ...]) -> int:
    found = [_numbers(value) for key, value in text.items() if str(key).endswith(endings)]
    return max((number for numbers in found for number in numbers if 0 < number <= _MAX_NUMBER), default=0)


def _numbers(value: object) -> list[int]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, int) and not isinstance(item, bool)]


def _sum_of(keys: _Keys, *names: str) -> int:
    return sum(keys.first(name) for name in names)


def _max_context(keys: _Keys) -> int | None:
    """Return the longest context that vLLM accepts by itself, or None where the config does not say it.

    A rope scaling stretches it by its factor, as vLLM's ``_get_and_verify_max_len`` has it; where the config's own
    maximum is stretched already this is too long, and vLLM says so itself.
    """
    longest = keys.first("max_position_embeddings", "n_positions", "max_seq_len")
    if not longest:
        return None
    for name in ("rope_scaling", "rope_parameters"):
        scaling = keys.values.get(name)
        if not isinstance(scaling, dict):
            continue
        factor, sort = scaling.get("factor"), scaling.get("rope_type", scaling.get("type"))
        if isinstance(factor, int | float) and 1 < factor <= _MAX_NUMBER and str(sort) in _STRETCHING:
            return int(longest * factor)
    return longest
