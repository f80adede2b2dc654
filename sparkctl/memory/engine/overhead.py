"""The items of a footprint that are neither weights nor KV cache, each by what causes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from packaging.version import Version

from sparkctl.base.units import GIB, MIB
from sparkctl.memory import constants
from sparkctl.memory.engine.activations import activations
from sparkctl.memory.items import ENGINE, GROWTH, TRANSIENT, Item, When, Where

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.memory.constants import Figure
    from sparkctl.memory.engine.figures import Overheads
    from sparkctl.memory.model.geometry import Geometry
    from sparkctl.memory.settings import Settings

GRAPHS: Final = "CUDA graphs"
DRAFT_GRAPHS: Final = "draft's CUDA graphs"
GRAPH_ITEMS: Final = frozenset({GRAPHS, DRAFT_GRAPHS})
FAST_BUFFERS: Final = "buffers of fastsafetensors"
_ELEMENT_BYTES: Final = 2
_LOGIT_BYTES: Final = 4
_LARGEST_GRAPH: Final = 512
_GRAPH: Final = 113 * 1024
_FIRST_GRAPH: Final = 60 * MIB
_KEPT: Final = 0.7
"""The share of torch.compile's copy of per-layer embeddings that stays: 3.67 of 5.25 GiB (vLLM 0.20.2, H200, E4B)."""
_STARTED_WITH: Final = 32 * GIB
"""Above this much of weights, what a start takes in addition no longer grows: with 75 GiB of weights, 36.25 of 115.6
GiB were left for the cache (Nemotron-3-Super on a GB10, djangodevreng/dgx-spark-benchmarks)."""
_PATCHES: Final = 16_384
"""Tokens of the largest picture of a model that takes pictures of any size (Qwen2.5-VL's max_pixels)."""
_FAST_SAFETENSORS: Final = "fastsafetensors"
_FREED_AFTER_LOADING: Final = Version("0.27.0.dev0")


class SizedEngine(NamedTuple):
    """The inputs of an engine's overhead. ``loaded_bytes`` are its weights, including those of a draft model."""

    shape: Geometry
    draft: Geometry | None
    given: Settings
    loaded_bytes: int
    figures: Overheads


def overhead(engine: SizedEngine) -> list[Item]:
    """Return what an engine takes in addition to weights and KV cache; items of 0 bytes are left out."""
    shape, given = engine.shape, engine.given
    items = [*activations(shape, engine.draft, given)]
    if given.samples and shape.caches:
        items.append(_sampler(shape, given))
    if given.encoder:
        items += _encoder(shape, given)
    items += [*_on_gpu(engine), *_on_host(engine)] if given.on_gpu else _on_cpu(given)
    return [item for item in items if item.bytes or item.spread]


def _sampler(shape: Geometry, given: Settings) -> Item:
    """Return the logits of one step for all sequences, as the sampler's warm-up leaves them in PyTorch's allocator."""
    size = constants.SAMPLER_COPIES * given.sequences * shape.vocabulary * _LOGIT_BYTES
    source = f"{constants.SAMPLER_COPIES} x sequences x vocabulary x 4 bytes: {constants.SAMPLER_SOURCE}"
    return Item("sampler", size, source, estimated=True, spread=size // 4)


def _encoder(shape: Geometry, given: Settings) -> Iterator[Item]:
    figure = constants.ENCODER
    if shape.patch_bytes:
        size = _PATCHES * shape.patch_bytes
        source = "the largest picture x (4 widths + 2 widths inside) x 2 bytes for each of its patches"
        yield Item("encoder", size, source, estimated=True, spread=size)
    else:
        yield _estimate("encoder", figure)
    cache = given.kv.batched_tokens * shape.hidden * _ELEMENT_BYTES
    source = "batched tokens x hidden x 2 bytes (vLLM's encoder budget)"
    yield Item("encoder cache", cache, source, estimated=True, spread=cache)


def _on_gpu(engine: SizedEngine) -> Iterator[Item]:
    shape, given, figures = engine.shape, engine.given, engine.figures
    yield _estimate("CUDA context", figures.context)
    yield _estimate("workspaces", figures.workspace)
    if given.split.ranks > 1:
        yield _estimate("NCCL", figures.nccl if given.split.nodes > 1 else figures.nccl_inside)
    if given.eager:
        return
    yield _graphs(shape, given, figures)
    if given.drafting is not None:
        yield _estimate(DRAFT_GRAPHS, figures.drafts)
    table = shape.vocabulary * shape.per_layer_embedding * shape.layers * _ELEMENT_BYTES // given.split.tensor
    source = "the per-layer embeddings once more: E4B kept 3.67 GiB of 5.25 when compiled (vLLM 0.20.2 on an H200)"
    kept = round(_KEPT * table)
    yield Item("torch.compile's copy", kept, source, estimated=True, spread=table // 10)
    if table:
        yield Item("while it compiles", table - kept, source, when=When.START, estimated=True)


def graph_sizes(given: Settings) -> int:
    """Return how many graphs vLLM captures: piecewise ones for every size, whole ones for batches that only decode.

    As in config/vllm.py of vLLM 0.20.2 and 0.32.0: sizes 1, 2, 4, every 8th up to 256 and every 16th up to 512, but
    none larger than twice the number of tokens that all sequences decode in a step. E4B with 256 sequences logged 51
    and 35.
    """
    step = given.sequences * (1 + given.kv.speculative_tokens)
    largest = min(2 * step, _LARGEST_GRAPH)
    sizes = [one for one in (1, 2, 4, *range(8, 256, 8), *range(256, _LARGEST_GRAPH + 1, 16)) if one <= largest]
    return len(sizes) + sum(1 for one in sizes if one <= step)


def _graphs(shape: Geometry, given: Settings, figures: Overheads) -> Item:
    size = _FIRST_GRAPH + graph_sizes(given) * shape.layers * _GRAPH
    source = (
        "0.06 GiB and 113 KiB for each graph and layer: 0.47 GiB for E4B with 256 sequences, 0.38 for 26B-A4B, "
        "0.08 for a Qwen3-8B shape with 8 (vLLM 0.20.2 on an H200); on a GB10 0.03 to 0.94 GiB"
    )
    return Item(GRAPHS, size, source, estimated=True, spread=figures.graphs_spread)


def _on_host(engine: SizedEngine) -> Iterator[Item]:
    given, figures = engine.given, engine.figures
    several = given.split.ranks > 1
    if given.split.worker:
        yield _estimate("launcher's process", figures.launcher, where=Where.HOST)
    else:
        yield _estimate("API server's process", figures.api_server, where=Where.HOST)
        yield _estimate(ENGINE, figures.core if several else figures.engine, where=Where.HOST)
    if several:
        workers = _times(figures.worker, given.split.ranks_here)
        yield _estimate("workers' processes", workers, where=Where.HOST)
    if given.encoder:
        yield _estimate("processors of pictures and sound", figures.towers, where=Where.HOST)
    yield _estimate(GROWTH, figures.growth if given.samples else figures.growth_pooling, When.LATER, Where.HOST)
    yield from _transient(engine)


def _transient(engine: SizedEngine) -> Iterator[Item]:
    """Yield memory that a start takes and gives back: compilers, autotuning, and what is briefly loaded twice."""
    given, figures = engine.given, engine.figures
    figure = figures.transient_eager if given.eager else figures.transient
    weights = min(engine.loaded_bytes, _STARTED_WITH)
    share = round(figures.transient_share * weights * (0.5 if given.eager else 1.0))
    source = (
        f"{figure.size / GIB:.1f} GiB and {figures.transient_share:.0%} of at most 32 GiB of weights: {figure.source}"
    )
    size, spread = figure.size + share, figure.spread + share
    yield Item(TRANSIENT, size, source, When.START, Where.HOST, estimated=True, spread=spread)
    if given.load_format == _FAST_SAFETENSORS and given.kv.vllm < _FREED_AFTER_LOADING:
        yield _estimate(FAST_BUFFERS, constants.FAST_SAFETENSORS, When.START)


def _on_cpu(given: Settings) -> Iterator[Item]:
    yield _estimate(ENGINE, constants.HOST_CPU, where=Where.HOST)
    transient = constants.TRANSIENT_CPU if given.eager else constants.TRANSIENT_EAGER
    yield _estimate(TRANSIENT, transient, When.START, Where.HOST)


def _times(figure: Figure, count: int) -> Figure:
    """Return a figure so many times."""
    return figure._replace(size=figure.size * count, spread=figure.spread * count)


def _estimate(name: str, figure: Figure, when: When = When.STEADY, where: Where = Where.GPU) -> Item:
    return Item(name, figure.size, figure.source, when=when, where=where, estimated=True, spread=figure.spread)
