"""One rank of a server with several: the part of a model and of its weights that each GPU has."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sparkctl.memory.model.geometry import geometry, text_keys
from sparkctl.memory.model.layers import Kind
from sparkctl.memory.split import check, is_cut
from sparkctl.memory.weights.built import BUFFERS, DRAFT, TOWERS
from sparkctl.memory.weights.loaded import REPACKED
from sparkctl.memory.weights.parameters import is_tied, parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packaging.version import Version

    from sparkctl.memory.model.geometry import Geometry
    from sparkctl.memory.model.layers import LayerGroup
    from sparkctl.memory.split import Split
    from sparkctl.memory.weights.loaded import Weights
    from sparkctl.memory.weights.parts import Part

_WHOLE: Final = frozenset({"norm", "router", BUFFERS})
"""Components that every rank has whole; linear layers, experts, embeddings and heads are cut (vLLM 0.32.0
model_executor/layers/linear.py, vocab_parallel_embedding.py)."""
_WHOLE_MODULES: Final = (
    *("kv_a_proj_with_mqa", "indexer", "compressor", "latent_proj", "per_layer_input_gate", "per_layer_projection"),
    *("position_embeddings", "token_type_embeddings"),
)
"""Linear layers that every rank has whole (ReplicatedLinear in vLLM 0.32.0 model_executor/models: deepseek_v2,
nemotron_h, gemma3n)."""
_CUT_NORMS: Final = ("conv1d", "conv", ".A")
"""Modules that are no linear layers but are cut: convolutions and recurrences, together with their heads."""
_EMBEDDING: Final = "embedding"
_SPARSE: Final = frozenset({"experts", "router"})


def of_one_rank(shape: Geometry, split: Split) -> Geometry:
    """Return the geometry of one rank: its share of heads and of widths, and all of what is replicated.

    If there are fewer key-value heads than ranks, each rank has one (vLLM 0.32.0 config/model.py, get_num_kv_heads).
    With several stages it is the stage with the most layers: it has the largest blocks, and all stages have equally
    many.

    Raises:
        InputError: the model cannot be shared so.
    """
    if split.ranks == 1:
        return shape
    check(shape, split)
    ranks, most = split.tensor, max(split.stages(shape.layers))
    warnings = shape.warnings
    if split.pipeline > 1 and len(shape.groups) > 1:
        note = "its layers differ: each stage is counted with its share of every kind, rounded up"
        warnings = (*warnings, note)
    return shape._replace(
        groups=tuple(_staged(_cut(group, ranks), shape.layers, most) for group in shape.groups),
        mtp=tuple(_cut(group, ranks) for group in shape.mtp),
        layers=most,
        intermediate=-(-shape.intermediate // ranks),
        expert_intermediate=shape.expert_intermediate if split.by_expert else -(-shape.expert_intermediate // ranks),
        shared_expert_intermediate=-(-shape.shared_expert_intermediate // ranks),
        q_heads=-(-shape.q_heads // ranks),
        warnings=warnings,
    )


def _staged(group: LayerGroup, layers: int, most: int) -> LayerGroup:
    return group._replace(layers=-(-group.layers * most // layers))


def _cut(group: LayerGroup, ranks: int) -> LayerGroup:
    """Return one rank's share of a layer's cache."""
    if group.state is not None:
        state = group.state
        cut = replace(state, conv_width=-(-state.conv_width // ranks), recurrent=-(-state.recurrent // ranks))
        return group._replace(state=cut)
    return group._replace(kv_heads=max(1, group.kv_heads // ranks)) if is_cut(group) else group


def weights_of_one_rank(loaded: Weights, split: Split, config: Mapping[str, Any], vllm: Version) -> Weights:
    """Return the weights that one rank loads, on the stage with the most; ``config`` is {} if it is not known.

    Each component is shared as its parameters are by the config. This also holds for quantized weights if a component
    is quantized as a whole.
    """
    if split.ranks == 1:
        return loaded
    shares = _shares(config, split, vllm) if config and loaded.by_component else [{}]
    whole = loaded.by_component
    stages = [
        {name: round(size * share.get(name, _usual(name, split))) for name, size in whole.items()} for share in shares
    ]
    cut = max(stages, key=lambda stage: sum(stage.values()))
    size = sum(cut.values()) if cut else -(-loaded.bytes // split.ranks)
    share = size / loaded.bytes if loaded.bytes else 1.0
    return replace(
        loaded,
        bytes=size,
        source=f"{loaded.source}; {split.words}",
        by_component=cut,
        by_dtype={name: round(taken * share) for name, taken in loaded.by_dtype.items()},
    )


def _usual(name: str, split: Split) -> float:
    """Return a rank's usual share of a component about which the config says nothing."""
    if name in _WHOLE or name == REPACKED:
        return 1.0
    if name in TOWERS:
        return 1.0 if split.whole_towers else 1 / split.tensor
    return 1 / split.ranks


def _shares(config: Mapping[str, Any], split: Split, vllm: Version) -> list[dict[str, float]]:
    """Return, for each stage, the share of each component that one of its ranks has."""
    shape, modules = geometry(config), parts(config, vllm)
    more = _replicated_heads(shape, split) + _latent_queries(shape, config, split)
    tied, dense = is_tied(config), text_keys(config)[0].first("first_k_dense_replace")
    found, start = [], 0
    for stage, layers in enumerate(split.stages(shape.layers)):
        whole: dict[str, float] = {}
        own: dict[str, float] = {}
        part_of_all = layers / shape.layers
        for part in modules:
            size = part.parameters * part.count
            whole[part.component] = whole.get(part.component, 0) + size
            layered = _of_layers(part, range(start, start + layers), shape.layers, dense)
            taken = size * _of_tensor(part, split) * _of_stage(part, stage, split, layered, tied=tied)
            own[part.component] = own.get(part.component, 0) + taken
        own["linear"] = own.get("linear", 0) + more * part_of_all
        start += layers
        found.append({name: own[name] / size for name, size in whole.items() if size})
    return found


def _of_tensor(part: Part, split: Split) -> float:
    if part.component in TOWERS:
        return 1.0 if split.whole_towers else 1 / split.tensor
    if part.component in _WHOLE:
        return 1 / split.tensor if part.name.endswith(_CUT_NORMS) else 1.0
    return 1.0 if part.name.endswith(_WHOLE_MODULES) else 1 / split.tensor


def _of_layers(part: Part, held: range, layers: int, dense: int) -> float:
    """Return the share of a module on the stage with the layers ``held``.

    If the first ``dense`` layers have no experts, the stage that holds them has fewer layers with experts.
    """
    sparse = part.component in _SPARSE or ".shared_expert" in part.name
    if ".mlp." not in part.name or not dense or part.count != (layers - dense if sparse else dense):
        return len(held) / layers
    own = sum(1 for layer in held if layer < dense)
    return (len(held) - own) / part.count if sparse else own / part.count


def _of_stage(part: Part, stage: int, split: Split, part_of_all: float, *, tied: bool) -> float:
    """Return the share of a module on a stage: the first has embedding and towers, the last the head and drafts."""
    last = stage == split.pipeline - 1
    if part.component == DRAFT:
        return float(last)
    if ".layers." in part.name and part.component not in TOWERS:
        return part_of_all
    if part.component == _EMBEDDING and (part.name == "lm_head" or tied):
        return float(last or (tied and stage == 0))
    return float(stage == 0)


def _replicated_heads(shape: Geometry, split: Split) -> float:
    """Return the parameters that a rank has beyond its share because key-value heads are replicated."""
    more = 0.0
    for group in shape.groups:
        if is_cut(group) and group.state is None and 0 < group.kv_heads < split.tensor:
            width = group.head_dim + (group.head_dim if group.value_dim is None else group.value_dim)
            more += group.layers * shape.hidden * width * (1 - group.kv_heads / split.tensor)
    return more


def _latent_queries(shape: Geometry, config: Mapping[str, Any], split: Split) -> float:
    """Return the same for MLA's narrow queries and DeepSeek V4's keys, which every rank has whole."""
    keys, kind = text_keys(config)
    low = keys.first("q_lora_rank")
    layers = sum(group.layers for group in shape.groups if group.kind is Kind.MLA and group.element_bytes is None)
    width = low + keys.first("head_dim") if kind == "deepseek_v4" else low
    layers = shape.layers if kind == "deepseek_v4" else layers
    return layers * shape.hidden * width * (1 - 1 / split.tensor)
