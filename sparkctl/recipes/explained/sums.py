"""The arithmetic behind words that nobody writes: the bytes of the KV cache, the fraction, tokens and ports."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from sparkctl.base.units import GIB, format_gib
from sparkctl.memory.footprint import counted_items
from sparkctl.memory.model.geometry import reads_at_once
from sparkctl.recipes.explained.rendered import CommandPart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.recipes.explained.rendered import RenderedWord
    from sparkctl.recipes.service import Service

_SHOWN_BYTES: Final = GIB // 200
"""Items below 0.005 GiB are left out of a sum that is shown with two decimals."""


def sums(word: RenderedWord, service: Service) -> tuple[str, ...]:
    """Return in sentences how a word of a service's command was calculated, () if it was not."""
    if word.part is not CommandPart.SERVER:
        return ()
    calculated = {
        "kv-cache-memory-bytes": _kv_bytes,
        "gpu-memory-utilization": _fraction,
        "max-num-batched-tokens": _batched,
    }
    return tuple(calculated[word.name](service)) if word.name in calculated else ()


def _kv_bytes(service: Service) -> Iterator[str]:
    taken, recipe = service.footprint, service.recipe
    cache, sequences = taken.kv, recipe.limits.sequences
    if not cache.groups:
        return
    if recipe.memory != "auto":
        yield (
            f"{taken.kv_bytes:,} bytes are {cache.blocks_in(taken.kv_bytes):,} blocks of {cache.bytes_per_block:,} "
            f"bytes, enough for {cache.concurrency(taken.kv_bytes):.2f} sequences of {cache.context:,} tokens at once"
        )
    elif taken.kv_bytes == cache.bytes_for(sequences):
        blocks = sequences * cache.blocks_per_request + 1
        yield (
            f"({sequences} sequences x {cache.blocks_per_request:,} blocks + 1 that vLLM keeps back) x "
            f"{cache.bytes_per_block:,} bytes a block = {blocks:,} x {cache.bytes_per_block:,} = "
            f"{taken.kv_bytes:,} bytes, {format_gib(taken.kv_bytes)}"
        )
    tables = Counter(cache.groups)
    shown = [
        f"{count} x {group.blocks_per_request:,} of {group.layers} {group.kind} layers "
        f"({group.block_size} tokens a block)"
        for group, count in tables.items()
    ]
    yield f"blocks of a sequence of {cache.context:,} tokens: {', '.join(shown)}"


def _fraction(service: Service) -> Iterator[str]:
    taken, profile = service.footprint, service.resizer.own_profile
    whole = f"{profile.total / GIB:.2f} GiB of the host profile ({profile.gpu})"
    if taken.utilization is not None:
        asked = taken.utilization * profile.total / GIB
        yield (
            f"{taken.utilization} x {whole} = {asked:.2f} GiB, of which the other items are estimated to leave "
            f"{taken.kv_bytes / GIB:.2f} GiB to the KV cache"
        )
        return
    items = counted_items(taken.items, by_bytes=taken.by_bytes)
    shown = [f"{item.name} {item.bytes / GIB:.2f}" for item in items if item.bytes >= _SHOWN_BYTES]
    total = sum(item.bytes for item in items)
    yield (
        f"({' + '.join(shown)} = {total / GIB:.2f} GiB) / {whole}, rounded up to a hundredth = "
        f"{service.sizing.gpu_memory_utilization:.2f}"
    )


def _batched(service: Service) -> Iterator[str]:
    limits = service.recipe.limits
    if "batched_tokens" not in limits.model_fields_set and reads_at_once(service.resizer.facts.config):
        yield f"the larger of {limits.batched_tokens:,} and the context: an encoder reads a text at once"
