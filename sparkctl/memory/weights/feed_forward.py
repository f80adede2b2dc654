"""The feed-forward parameters of a model: dense layers, experts, shared experts, routers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sparkctl.memory.model.config_keys import MAX_NUMBER, wrong
from sparkctl.memory.weights.parts import Part, lora_rank

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.memory.model.config_keys import Keys

_UNGATED: Final = frozenset(
    {"nemotron_h", "nemotron", "gpt2", "gpt_neox", "falcon", "phi", "opt", "bloom", "starcoder2", "mpt", "gptj"}
    | {"bert", "roberta", "whisper"}
)
"""Models whose feed-forward has no gate: two matrices, not three."""
_EXPERTS: Final = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_MARLIN_HIDDEN: Final = 256
_MARLIN_WIDTH: Final = 128
"""On a GB10 Marlin computes experts in MXFP4; it rounds their widths up to this (vLLM 0.17.1 quantization/mxfp4.py,
0.20.2 and 0.33.0 fused_moe/oracle/mxfp4.py)."""
_PATTERN: Final = ("hybrid_override_pattern", "layers_block_type")


def feed_forward(keys: Keys, kind: str, *, last: bool = False) -> Iterator[Part]:
    """Yield the feed-forward parts of all layers, or of one layer like the ``last``."""
    dense, sparse = _last(keys, kind) if last else _layers(keys, kind)
    hidden, experts = keys.count("hidden_size"), keys.largest(*_EXPERTS)
    matrices = 2 if kind in _UNGATED else 3
    if dense:
        for width, count in _widths(keys, dense):
            yield from _matrices("mlp", matrices, hidden, width, count)
    if sparse:
        width = keys.largest("moe_intermediate_size", "expert_ffn_hidden_size") or keys.largest("intermediate_size")
        latent = keys.first("moe_latent_size")
        if latent:
            # Nemotron 3 Super's experts work on a narrower state (vLLM models/nemotron_h.py).
            yield Part("linear", "model.layers.*.mlp.latent_proj", 2 * hidden * latent, sparse, linear=True)
        yield _experts(experts, matrices, latent or hidden, width, sparse)
        yield Part("router", "model.layers.*.mlp.gate", experts * hidden, sparse, rank=lora_rank(hidden, experts))
        shared = _shared(keys, width, kind)
        if shared:
            yield from _matrices("mlp.shared_expert", matrices, hidden, shared, sparse)


def _matrices(name: str, matrices: int, hidden: int, width: int, count: int) -> Iterator[Part]:
    """Yield the two modules of a feed-forward: gate and up projection are fused into one."""
    up, rank = matrices - 1, lora_rank(hidden, *[width] * (matrices - 1))
    module = f"model.layers.*.{name}"
    yield Part("linear", f"{module}.gate_up_proj", up * hidden * width, count, linear=True, rank=rank)
    rank = lora_rank(width, hidden)
    yield Part("linear", f"{module}.down_proj", hidden * width, count, linear=True, rank=rank)


def _experts(experts: int, matrices: int, hidden: int, width: int, count: int) -> Part:
    """Return the experts of a layer; with shared adapters, the slices of the model's width exist once."""
    rank = experts * matrices * (hidden + width)
    shared = matrices * hidden + experts * matrices * width
    size = experts * matrices * hidden * width
    padded = experts * matrices * _up(hidden, _MARLIN_HIDDEN) * _up(width, _MARLIN_WIDTH)
    name = "model.layers.*.mlp.experts"
    return Part("experts", name, size, count, linear=True, rank=rank, shared_rank=shared, padded=padded)


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _layers(keys: Keys, kind: str) -> tuple[int, int]:
    """Return how many layers have a dense feed-forward, and how many have experts; Gemma 4 has both in each."""
    layers, experts = keys.layers, keys.largest(*_EXPERTS)
    pattern = next((keys.get(name) for name in _PATTERN if keys.get(name)), None)
    if kind == "nemotron_h" and pattern:
        return _of_pattern(pattern)
    if kind in {"mamba", "mamba2", "falcon_mamba"}:
        return 0, 0
    if not experts or kind == "jamba":
        period = keys.first("expert_layer_period") if experts else 0
        sparse = layers // period if period else 0
        return layers - sparse, sparse
    dense = _dense(keys, kind, layers)
    return dense, layers if keys.get("enable_moe_block") else layers - dense


def _dense(keys: Keys, kind: str, layers: int) -> int:
    """Return how many layers of a model with experts have a dense feed-forward."""
    if keys.get("enable_moe_block"):
        return layers
    if kind in {"granitemoehybrid", "granitemoe"}:
        return 0
    if kind == "llama4_text":
        return layers - layers // (keys.first("interleave_moe_layer_step") or 1)
    return _dense_first(keys, layers)


def _dense_first(keys: Keys, layers: int) -> int:
    """Return how many layers of a model with experts have none."""
    listed_kinds = _listed_dense(keys, layers)
    if listed_kinds is not None:
        return listed_kinds
    for name in ("first_k_dense_replace", "dense_mlp_idx", "num_dense_layers"):
        if name in keys:
            return min(keys.first(name), layers)
    listed: Any = keys.get("mlp_only_layers") or keys.get("moe_layer_start_index")
    step = keys.first("decoder_sparse_step") or 1
    if isinstance(listed, list) and not all(type(index) is int for index in listed):
        raise wrong("mlp_only_layers", "a list of whole numbers", listed)
    only = set(listed) if isinstance(listed, list) else set()
    return sum(1 for index in range(layers) if index in only or (index + 1) % step)


def _listed_dense(keys: Keys, layers: int) -> int | None:
    """Return the same if the kinds of layers are listed, one by one or as those with experts; None if not listed."""
    for name, dense in (("mlp_layer_types", "dense"), ("moe_layer_freq", 0)):
        listed = keys.get(name)
        if isinstance(listed, list):
            return sum(1 for one in listed[:layers] if one == dense)
    sparse = keys.get("moe_layers_enum")
    if not isinstance(sparse, str):
        return None
    numbers = {int(one) for one in sparse.split(",") if one.strip().isdecimal()}
    return sum(1 for index in range(layers) if index not in numbers)


def _of_pattern(pattern: Any) -> tuple[int, int]:  # noqa: ANN401  (JSON)
    letters = list(pattern) if isinstance(pattern, str) else [str(one) for one in pattern]
    return sum(one in {"-", "mlp"} for one in letters), sum(one in {"E", "moe"} for one in letters)


def _last(keys: Keys, kind: str) -> tuple[int, int]:
    return (0, 1) if _layers(keys, kind)[1] else (1, 0)


def _widths(keys: Keys, dense: int) -> Iterator[tuple[int, int]]:
    """Yield the widths of the dense layers, with how many have each."""
    written = keys.get("intermediate_size")
    if isinstance(written, list):
        for index in range(len(written)):
            yield keys.at("intermediate_size", index), 1
        return
    # The dense layers of Llama 4, MiniMax M3 and Inkling have a width of their own; the KV-shared layers of Gemma 4 E2B
    # have twice the width.
    own = keys.first("intermediate_size_mlp", "dense_intermediate_size") or _adjusted(keys)
    width = own or keys.largest("intermediate_size", "shared_intermediate_size")
    doubled = keys.first("num_kv_shared_layers") if keys.get("use_double_wide_mlp") else 0
    if doubled:
        yield 2 * width, min(doubled, dense)
    if dense > doubled:
        yield width, dense - doubled


def _adjusted(keys: Keys) -> int:
    """Return the width of LFM2's dense layers, two thirds of the written one, or 0 (vLLM models/lfm2.py)."""
    written = keys.first("block_ff_dim") or keys.first("intermediate_size")
    if not keys.get("block_auto_adjust_ff_dim"):
        return keys.first("block_ff_dim")
    factor, multiple = keys.get("block_ffn_dim_multiplier"), keys.first("block_multiple_of") or 256
    width = 2 * written // 3
    if isinstance(factor, int | float) and 0 < factor < MAX_NUMBER:
        width = int(factor * width)
    return -(-width // multiple) * multiple


def _shared(keys: Keys, width: int, kind: str) -> int:
    """Return the width of all shared experts of a layer together."""
    written = keys.first(
        "shared_expert_intermediate_size",
        "moe_shared_expert_intermediate_size",
        "shared_intermediate_size",
        "share_expert_dim",
    )
    count = keys.first("n_shared_experts", "num_shared_experts")
    if kind == "llama4_text":
        return keys.largest("intermediate_size")
    return written * max(count, 1) if written and kind == "nemotron_h" else written or count * width
