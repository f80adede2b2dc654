"""The items of a footprint that are neither weights nor KV cache."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from sparkctl.memory import constants

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkctl.memory.constants import Figure
    from sparkctl.memory.model.geometry import Geometry
    from sparkctl.memory.settings import Settings

LORA_SLOTS: Final = "LoRA slots"
GROWTH: Final = "growth after ready"
"""What a server takes beyond what it held when it was ready: no start shows it."""
PINNED: Final = frozenset({"KV cache on the host", "weights on the host"})
"""Items that a start allocates whole, and that are no process's own pages: pinned, or in /dev/shm."""
DECLARED: Final = PINNED | {
    *("API servers", "LoRA adapters on the host", "cache of processed images", "other ranks", "swap space"),
}
"""Items that a flag asks for. A start does not show them: buffers of the host are no process's own pages, and caches
fill later."""
_ELEMENT_BYTES: Final = 2
_LOGIT_BYTES: Final = 4


class When(StrEnum):
    """For as long as the service runs, only while it starts, or what it grows by once it serves."""

    STEADY = "steady"
    START = "start"
    LATER = "later"


class Where(StrEnum):
    """What vLLM's fraction speaks of, or the processes' own memory: the same pool on a GB10."""

    GPU = "gpu"
    HOST = "host"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that takes memory. ``estimated``: neither computed from the model nor read from a log of it.

    ``bytes`` is the middle of what it was seen to take, and ``spread`` by how much more it may be: 0 for what is
    computed or was measured on this host.
    """

    name: str
    bytes: int
    source: str
    when: When = When.STEADY
    where: Where = Where.GPU
    estimated: bool = False
    spread: int = 0

    @property
    def bound(self) -> int:
        """The most that it is said to take, in bytes."""
        return self.bytes + self.spread


def middle(items: Iterable[Item]) -> int:
    """Return what items take together, in bytes, if each takes its middle."""
    return sum(item.bytes for item in items)


def bound(items: Iterable[Item]) -> int:
    """Return the most that items take together, in bytes: their middles and the root of their spreads' squares.

    The causes of the spreads have nothing to do with each other, so that not all items are at their most at once. The
    sum of all spreads would be more than any start was seen to take.
    """
    held = list(items)
    return middle(held) + math.isqrt(sum(item.spread**2 for item in held))


def overhead(geometry: Geometry, settings: Settings) -> list[Item]:
    """Return what an engine takes beside weights and KV cache; items of no bytes are left out."""
    items = [_activations(geometry, settings)]
    if settings.samples and geometry.caches:
        items.append(_sampler(geometry, settings))
    if settings.encoder:
        items += _encoder(geometry, settings)
    if settings.on_gpu:
        items += _on_gpu(geometry, settings)
    items += _on_host(settings)
    return [item for item in items if item.bytes]


def _activations(geometry: Geometry, settings: Settings) -> Item:
    """Return what the largest batch takes in one layer: residuals, the gate and up projections, the experts' copies.

    26B-A4B: 96 KiB a token by this, 94 measured between 2048 and 8192 (vLLM 0.20.2 on an H200); 31B 126 and 48; E4B and
    E2B, where the sampler is the peak, almost nothing. So an estimate may be wrong by all of it.
    """
    widths = 4 * geometry.hidden + 2 * geometry.intermediate
    widths += geometry.experts_per_token * (geometry.hidden + 2 * geometry.expert_intermediate)
    size = settings.kv.batched_tokens * widths * _ELEMENT_BYTES
    source = "batched tokens x (4 hidden + 2 intermediate + experts used x (hidden + 2 expert widths)) x 2 bytes"
    return Item("activations", size, source, estimated=True, spread=size)


def _sampler(geometry: Geometry, settings: Settings) -> Item:
    size = constants.SAMPLER_COPIES * settings.sequences * geometry.vocabulary * _LOGIT_BYTES
    formula = f"{constants.SAMPLER_COPIES} x sequences x vocabulary x 4 bytes"
    if not settings.on_gpu:
        return Item("sampler", size, formula, estimated=True, spread=size)
    floor = constants.SAMPLER_FLOOR
    source = f"{formula}, at least 1 GiB: {floor.source}; 3.71 GiB with 1,024"
    return Item("sampler", max(size, floor.size), source, estimated=True, spread=max(size // 10, floor.spread))


def _encoder(geometry: Geometry, settings: Settings) -> list[Item]:
    cache = settings.kv.batched_tokens * geometry.hidden * _ELEMENT_BYTES
    return [
        _estimate("encoder", constants.ENCODER),
        Item(
            "encoder cache",
            cache,
            "batched tokens x hidden x 2 bytes (vLLM's encoder budget)",
            estimated=True,
            spread=cache,
        ),
    ]


def _on_gpu(geometry: Geometry, settings: Settings) -> list[Item]:
    items = [_estimate("CUDA context", constants.CUDA_CONTEXT)]
    if settings.eager:
        return items
    items.append(_estimate("CUDA graphs", constants.GRAPHS))
    if settings.drafting is not None:
        items.append(_estimate("draft's CUDA graphs", constants.GRAPHS_DRAFTING))
    table = geometry.vocabulary * geometry.per_layer_embedding * geometry.layers * _ELEMENT_BYTES
    source = "the per-layer embeddings once more: E4B kept 4.5 GiB of 5.25 when compiled (vLLM 0.20.2 on an H200)"
    items.append(Item("torch.compile's copy", table, source, estimated=True, spread=table))
    return items


def _on_host(settings: Settings) -> list[Item]:
    if not settings.on_gpu:
        transient = constants.TRANSIENT_CPU if settings.eager else constants.TRANSIENT_EAGER
        held = constants.HOST_CPU
    else:
        transient = constants.TRANSIENT_EAGER if settings.eager else constants.TRANSIENT
        held = constants.HOST
    return [
        _estimate("host processes", held, where=Where.HOST),
        _estimate("while it starts", transient, when=When.START, where=Where.HOST),
    ]


def _estimate(name: str, figure: Figure, *, when: When = When.STEADY, where: Where = Where.GPU) -> Item:
    return Item(name, figure.size, figure.source, when=when, where=where, estimated=True, spread=figure.spread)
