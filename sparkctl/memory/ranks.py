"""One rank of a tensor-parallel server: what of a model and of its weights each GPU has."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sparkctl.memory.model.layers import Kind
from sparkctl.memory.weights.built import BUFFERS

if TYPE_CHECKING:
    from sparkctl.memory.model.geometry import Geometry
    from sparkctl.memory.model.layers import LayerGroup
    from sparkctl.memory.weights.loaded import Weights

_WHOLE: Final = frozenset({"norm", "router", BUFFERS})
"""Components that every rank has whole; linear layers, experts, embeddings and heads are cut (vLLM 0.32.0
model_executor/layers/linear.py, vocab_parallel_embedding.py)."""


def of_one_rank(shape: Geometry, ranks: int) -> Geometry:
    """Return the geometry of one of ``ranks``: its share of heads and of widths, and the whole of what is replicated.

    Fewer key-value heads than ranks are there once for each (vLLM 0.32.0 config/model.py, get_num_kv_heads).
    """
    if ranks == 1:
        return shape
    return shape._replace(
        groups=tuple(_cut(group, ranks) for group in shape.groups),
        mtp=tuple(_cut(group, ranks) for group in shape.mtp),
        intermediate=-(-shape.intermediate // ranks),
        expert_intermediate=-(-shape.expert_intermediate // ranks),
        shared_expert_intermediate=-(-shape.shared_expert_intermediate // ranks),
        q_heads=-(-shape.q_heads // ranks),
    )


def _cut(group: LayerGroup, ranks: int) -> LayerGroup:
    """Return one rank's share of a layer's cache. A latent is one head, which each rank keeps whole."""
    if group.kind is Kind.MLA or group.page is not None:
        return group
    if group.state is not None:
        state = group.state
        cut = replace(state, conv_width=-(-state.conv_width // ranks), recurrent=-(-state.recurrent // ranks))
        return group._replace(state=cut)
    return group._replace(kv_heads=max(1, group.kv_heads // ranks))


def weights_of_one_rank(loaded: Weights, ranks: int) -> Weights:
    """Return what one of ``ranks`` loads."""
    if ranks == 1:
        return loaded
    cut = {name: size if name in _WHOLE else -(-size // ranks) for name, size in loaded.by_component.items()}
    size = sum(cut.values()) if cut else -(-loaded.bytes // ranks)
    share = size / loaded.bytes if loaded.bytes else 1.0
    return replace(
        loaded,
        bytes=size,
        source=f"{loaded.source}; of one of {ranks} ranks",
        by_component=cut,
        by_dtype={name: round(taken * share) for name, taken in loaded.by_dtype.items()},
    )
