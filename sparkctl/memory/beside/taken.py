"""What a server's flags and variables take beside the model itself, as items of its footprint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.units import GIB
from sparkctl.memory.beside import adapters
from sparkctl.memory.beside.connectors import HostBuffer, offloaded
from sparkctl.memory.beside.numbers import number, whole
from sparkctl.memory.engine import figures
from sparkctl.memory.items import Item, When, Where

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from packaging.version import Version

    from sparkctl.memory.facts import ModelFacts

_IMAGES_DEFAULT: Final = 4.0
"""The default of ``--mm-processor-cache-gb`` in GiB (vLLM config/multimodal.py)."""

_PINNED: Final = (
    "what is offloaded is moved and not saved; PyTorch gives each pinned tensor the next power of two (ATen "
    "CachingHostAllocator), so up to as much again (vLLM model_executor/offloader)"
)


class Beside(NamedTuple):
    """What a server takes in addition to the model.

    ``items`` follow from the flags alone. ``pinned_weights`` is the most bytes of weights on the host, ``pinned_share``
    the share of the weights there. ``buffers`` are host memory, ``servers`` counts the API servers and ``ranks`` the
    data parallel engines. ``blocks`` is ``--num-gpu-blocks-override``.
    """

    items: tuple[Item, ...] = ()
    buffers: tuple[HostBuffer, ...] = ()
    pinned_weights: int = 0
    pinned_share: float = 0.0
    servers: int = 1
    ranks: int = 1
    blocks: int | None = None

    def of_weights(self, loaded_bytes: int) -> Iterator[Item]:
        """Yield the items that need the size of the weights; all but the adapter slots are in the host's memory."""
        yield from self.items
        pinned = min(self.pinned_weights, loaded_bytes) or round(loaded_bytes * min(self.pinned_share, 1.0))
        if pinned:
            yield Item("weights on the host", pinned, _PINNED, where=Where.HOST, estimated=True, spread=pinned)

    def of_cache(self, kv_bytes: int, engine: Sequence[Item]) -> Iterator[Item]:
        """Yield the items that need the size of the cache; ``engine`` are the items of one engine without its cache."""
        for buffer in self.buffers:
            size = buffer.bytes + buffer.copies * kv_bytes
            if size:
                yield Item("KV cache on the host", size, buffer.source, where=Where.HOST, estimated=True)
        more = self.servers - 1
        if more > 0:
            figure = figures.GB10.api_server
            source = f"{more} more than one, each: {figure.source}"
            size = more * figure.size
            yield Item("API servers", size, source, where=Where.HOST, estimated=True, spread=size // 2)
        if self.ranks > 1:
            one = kv_bytes + sum(item.bytes for item in engine if item.when is not When.START)
            source = f"{self.ranks - 1} more of weights, cache and all else (data-parallel-size)"
            yield Item("other ranks", (self.ranks - 1) * one, source, estimated=True, spread=one)


def beside(
    args: Mapping[str, object], env: Mapping[str, object], facts: ModelFacts, version: Version, *, encoder: bool
) -> Beside:
    """Return what the flags take; ``args`` are by their long names, and JSON values are maps.

    Raises:
        InputError: a number of the model's config that is missing, is none, or is impossible.
    """
    ranks = whole(args.get("data-parallel-size-local"), whole(args.get("data-parallel-size"), 1))
    servers = whole(args.get("api-server-count"), ranks)
    group = number(args.get("offload-group-size")) or 0
    return Beside(
        items=(
            *adapters.items(args, facts.config, version),
            *_images(args, ranks, servers, encoder=encoder),
            *_swap(args, ranks),
        ),
        buffers=tuple(offloaded(args, env, version)),
        pinned_weights=round((number(args.get("cpu-offload-gb")) or 0) * GIB),
        pinned_share=whole(args.get("offload-num-in-group"), 1) / group if group else 0.0,
        servers=servers,
        ranks=ranks,
        blocks=whole(args.get("num-gpu-blocks-override"), 0) or None,
    )


def _images(args: Mapping[str, object], ranks: int, servers: int, *, encoder: bool) -> Iterator[Item]:
    """Yield the cache of processed images if a flag sets its size or the number of its copies.

    By default vLLM lets it grow to 4 GiB in each process, as images arrive: no claim contains that.
    """
    said = number(args.get("mm-processor-cache-gb"))
    size = round((_IMAGES_DEFAULT if said is None else said) * GIB) * (ranks + servers)
    if encoder and size and (said is not None or ranks + servers > 2):  # noqa: PLR2004  (one of each)
        source = f"mm-processor-cache-gb x ({servers} API servers + {ranks} engines) (vLLM config/multimodal.py)"
        yield Item("cache of processed images", size, source, where=Where.HOST, estimated=True)


def _swap(args: Mapping[str, object], ranks: int) -> Iterator[Item]:
    size = round((number(args.get("swap-space")) or 0) * GIB) * ranks
    if size:
        source = (
            "swap-space in GiB for each GPU: the most; the V1 engine leaves it unused (vLLM 0.17.1 config/cache.py)"
        )
        yield Item("swap space", size, source, where=Where.HOST, estimated=True)
