"""What a layer keeps for each sequence: the shape of its cache or of its state."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Kind(StrEnum):
    """How a layer's cache grows: with the context, up to a window or a chunk, or not at all (a state).

    Cross-attention caches what an encoder read, which is as long as a batch whatever the context.
    """

    FULL = "full"
    SLIDING = "sliding"
    CHUNKED = "chunked"
    CROSS = "cross"
    MLA = "mla"
    MAMBA = "mamba"
    LINEAR = "linear"


@dataclass(frozen=True, slots=True)
class RecurrentState:
    """The recurrent state of one Mamba or linear-attention layer, for one sequence.

    The convolution keeps ``conv_width`` channels of ``conv_kernel`` - 1 tokens (and one more for each drafted token);
    the recurrence keeps ``recurrent`` numbers. ``conv_bytes`` and ``recurrent_bytes`` are the bytes of one number.
    ``own_recurrence``: the model's config says the type of its recurrence.
    """

    conv_width: int
    conv_kernel: int
    recurrent: int
    conv_bytes: int = 2
    recurrent_bytes: int = 2
    own_recurrence: bool = field(default=False, compare=False)


class LayerGroup(NamedTuple):
    """``layers`` layers of one shape that own cache. ``window`` is in tokens, for sliding or chunked attention.

    MLA has one head of ``head_dim`` (latent and rotary) and no values; ``value_dim`` is None if values are as wide as
    keys. A layer with a ``state`` has no heads. ``element_bytes`` is the size of one cached number if
    ``--kv-cache-dtype`` does not decide it: DeepSeek V3.2's indexer keeps bytes. ``block`` is the number of tokens in a
    block if ``--block-size`` does not decide it, and ``page`` the bytes of a block, aligned, if the model's class sets
    them: such layers are packed.
    """

    kind: Kind
    layers: int
    kv_heads: int
    head_dim: int
    window: int | None = None
    value_dim: int | None = None
    state: RecurrentState | None = None
    element_bytes: int | None = None
    block: int | None = None
    page: int | None = None


def merged(layers: Iterable[LayerGroup]) -> tuple[LayerGroup, ...]:
    """Return the groups with equal ones merged, in the order of first appearance."""
    counted: dict[LayerGroup, int] = {}
    for layer in layers:
        shape = layer._replace(layers=1)
        counted[shape] = counted.get(shape, 0) + layer.layers
    return tuple(shape._replace(layers=count) for shape, count in counted.items())
