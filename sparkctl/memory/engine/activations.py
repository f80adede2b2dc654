"""The memory of a batch on its way through the model: the most that its tokens need at one time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.memory.items import ACTIVATIONS, DRAFT_ACTIVATIONS, Item, When
from sparkctl.memory.model.drafters import Drafter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.memory.model.geometry import Geometry
    from sparkctl.memory.settings import Settings

_ELEMENT_BYTES: Final = 2
_SPREAD: Final = 0.6
"""The error of these formulas, as a share. On a GB10 they were off by up to a third for linear attention (106 to 163
KiB a token instead of 120), and for Gemma 4 26B with DFlash 306 KiB instead of 197 (jethac/dgx-spark-hijinks)."""
_FORMULA: Final = "batched tokens x (4 hidden + 2 intermediate + experts used x (hidden + 2 expert widths)"


def activations(shape: Geometry, draft: Geometry | None, given: Settings) -> Iterator[Item]:
    """Yield the largest batch's memory in one layer: once while vLLM profiles, and again with the first such batch.

    26B-A4B: 96 KiB a token by this, 94 measured between 2048 and 8192 (vLLM 0.20.2 on an H200). Qwen3.6-35B-A3B: 120,
    and 106 measured (6.64 GiB of 65,536 tokens, vLLM 0.27.1 on a GB10).
    """
    linear = _linear(shape)
    size = given.kv.batched_tokens * (_layer(shape) + linear) * _ELEMENT_BYTES
    source = f"{_FORMULA}{' + 3.5 times the widths of its convolutions' if linear else ''}) x 2 bytes"
    yield _item(ACTIVATIONS, size, source)
    if draft is not None and draft.drafter is Drafter.DFLASH:
        size = given.kv.batched_tokens * _dflash(draft) * _ELEMENT_BYTES
        source = "batched tokens x (2 states of the target for each that it reads + hidden + 2 of its keys and values)"
        yield _item(DRAFT_ACTIVATIONS, size, f"{source} x 2 bytes (vLLM 0.32.0 models/qwen3_dflash.py)")


def _item(name: str, size: int, source: str) -> Item:
    return Item(name, size, source, when=When.LATER, estimated=True, spread=round(_SPREAD * size))


def _layer(shape: Geometry) -> int:
    """Return the numbers of a token in a plain layer: residuals, the gate and up projections, the experts' copies."""
    widths = 4 * shape.hidden + 2 * shape.intermediate
    return widths + shape.experts_per_token * (shape.hidden + 2 * shape.expert_intermediate)


def _linear(shape: Geometry) -> int:
    """Return the same for a layer with a state: its joined projection, the convolution's output, 32 bits of values."""
    return max((group.state.conv_width * 7 // 2 for group in shape.groups if group.state is not None), default=0)


def _dflash(draft: Geometry) -> int:
    """Return DFlash's numbers per token: the target's states, side by side and joined, and keys and values."""
    cached = sum(2 * group.layers * group.kv_heads * group.head_dim for group in draft.groups)
    return 2 * (draft.features or draft.layers) * draft.hidden + draft.hidden + 2 * cached
