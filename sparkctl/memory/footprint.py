"""The memory that one service needs of its host, item by item, and the memory flags that follow from it."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from packaging.version import Version

from sparkctl.base.units import GIB, format_gib
from sparkctl.memory import constants
from sparkctl.memory.engine.figures import overheads_of
from sparkctl.memory.engine.overhead import GRAPH_ITEMS, SizedEngine, overhead
from sparkctl.memory.items import GROWTH, PINNED, Item, PlacePart, When, Where, bound, middle
from sparkctl.memory.kv_cache import kv_cache, largest_context
from sparkctl.memory.model.drafters import as_built
from sparkctl.memory.model.geometry import Geometry, Kind, LayerGroup, geometry
from sparkctl.memory.pace.roofline import read_shape
from sparkctl.memory.ranks import of_one_rank, weights_of_one_rank
from sparkctl.memory.weights.loaded import Weights, weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.memory.facts import ModelFacts
    from sparkctl.memory.kv_cache import KvCache, KvRequest
    from sparkctl.memory.pool import HostProfile
    from sparkctl.memory.settings import Settings
    from sparkctl.memory.weights.load_options import LoadOptions

WEIGHTS: Final = "weights"
DRAFT: Final = "draft"
KV_CACHE: Final = "KV cache"
_WEIGHTS_OFF: Final = 0.015
"""The share by which weights may be larger: no start with known geometry in docs/memory.md is further off."""
_KV_BYTES_FLAG: Final = Version("0.10.2")
"""The first release with ``--kv-cache-memory-bytes`` (vLLM PR #21489)."""


class Footprint(NamedTuple):
    """What a service takes. ``loaded`` is what vLLM's "Model loading took" will log, a draft model's share included.

    ``kv`` is its cache as vLLM allocates it, ``kv_bytes`` the size of the cache, and ``kv_least_bytes`` the least size
    that it may get if a fraction sizes it. ``known`` says how the sum is known: estimated, or measured here and when.

    ``by_bytes``: ``kv_bytes`` sizes the cache; else a fraction does. ``utilization`` is that fraction if the operator
    sets it, None if it follows from the sum.
    """

    items: tuple[Item, ...]
    loaded: Weights
    kv: KvCache
    kv_bytes: int
    by_bytes: bool
    utilization: float | None = None
    warnings: tuple[str, ...] = ()
    known: str = "estimated"
    kv_least_bytes: int = 0

    @property
    def overhead(self) -> tuple[Item, ...]:
        """What it takes in addition to weights and KV cache."""
        return tuple(item for item in self.items if item.name not in {WEIGHTS, DRAFT, KV_CACHE})

    @property
    def steady_bytes(self) -> int:
        """The bytes that it holds once it serves, growth included, in the middle of the observed values."""
        return middle(self._held)

    @property
    def bound_bytes(self) -> int:
        """The most bytes that it holds once it serves; items measured on this host count as measured."""
        return bound(self._held)

    @property
    def spread_bytes(self) -> int:
        """The difference between the most and the middle of the bytes that it holds once it serves."""
        return self.bound_bytes - self.steady_bytes

    @property
    def peak_bytes(self) -> int:
        """The bytes that it takes at its peak, in the middle: while it starts, or later if it grows by more."""
        return max(middle(self._starting), self.steady_bytes)

    @property
    def peak_bound_bytes(self) -> int:
        """The most that it takes at its peak."""
        return max(bound(self._starting), self.bound_bytes)

    @property
    def _held(self) -> list[Item]:
        return [item for item in self.items if item.when is not When.START]

    @property
    def _starting(self) -> list[Item]:
        return [item for item in self.items if item.name != GROWTH]

    @property
    def pinned_bytes(self) -> int:
        """The bytes of its host buffers, which no process shows as its own; they exist once it is ready."""
        return sum(item.bytes for item in self.items if item.name in PINNED)

    @property
    def gpu_bytes(self) -> int:
        """The bytes that it holds on the GPU when it is ready, in the middle; 0 for a vLLM on the CPU."""
        return sum(item.bytes for item in self.items if item.when is When.STEADY and item.where is Where.GPU)

    @property
    def host_bytes(self) -> int:
        """The bytes of host memory that its processes hold when it is ready, in the middle."""
        return sum(item.bytes for item in self.items if item.when is When.STEADY and item.where is Where.HOST)

    def part(self, where: Where) -> PlacePart:
        """Return its part on the GPU, or its part in the host's memory, as the plan counts it."""
        items = [item for item in self.items if item.where is where]
        held = tuple(item for item in items if item.when is not When.START)
        steady = bound(held)
        peak = max(bound([item for item in items if item.name != GROWTH]), steady)
        return PlacePart(steady, peak, "" if held else f"at most {format_gib(steady)}", held)

    @property
    def summary(self) -> str:
        """The sum as a line: ``weights 9.8 + KV cache 0.7 + … = 20.1 GiB, at most 22.3, 28.1 while it starts``."""
        shown = [f"{item.name} {item.bytes / GIB:.1f}" for item in self._held if item.bytes >= GIB // 20]
        most = f"at most {self.bound_bytes / GIB:.1f}, {self.peak_bound_bytes / GIB:.1f} while it starts"
        return f"{' + '.join(shown)} = {format_gib(self.steady_bytes)}, {most}"

    def rows(self) -> list[list[str]]:
        """Return a table's rows: what, GiB, at most, when, where, how it is known."""
        return [
            [
                item.name,
                f"{item.bytes / GIB:.2f}",
                f"{item.bound / GIB:.2f}",
                str(item.when),
                str(item.where),
                _known(item),
            ]
            for item in sorted(self.items, key=lambda item: -item.bytes)
        ]


class Sizing(NamedTuple):
    """The memory flags. ``kv_cache_memory_bytes`` is None if vLLM has to size the cache by the fraction alone."""

    kv_cache_memory_bytes: int | None
    gpu_memory_utilization: float


class Once:
    """The values of a model that do not change with its limits, computed once for many estimates of the same facts."""

    def __init__(self, facts: ModelFacts) -> None:
        self.facts = facts
        self._loaded: dict[tuple[LoadOptions, str | None], Weights] = {}

    @cached_property
    def shape(self) -> Geometry:
        """The layers and what they keep; raises InputError if the config does not give them."""
        return geometry(self.facts.config)

    @cached_property
    def read_shape(self) -> Geometry:
        """The layers whose cache a token reads."""
        return read_shape(self.facts.config)

    def weights(self, given: Settings) -> Weights:
        """Return the weights as these settings load them.

        Raises:
            InputError: nothing is known of them.
        """
        key = (given.load, given.repo)
        if key not in self._loaded:
            self._loaded[key] = weights(self.facts, given.load, given.repo)
        return self._loaded[key]


def footprint(
    given: Settings, shape: Geometry, loaded: Weights, draft_facts: ModelFacts | None, profile: HostProfile
) -> Footprint:
    """Return what a server with these flags takes; ``loaded`` are its weights as these flags load them.

    Raises:
        InputError: facts of the draft that cannot be used, or nothing is known of its weights.
    """
    shape, loaded = of_one_rank(shape, given.split), _of_rank(loaded, given)
    draft = _draft(given, shape, draft_facts)
    cache = kv_cache(shape, _request(given, shape), draft=draft.geometry)
    whole = loaded if draft.weights is None else loaded.joined(draft.weights, DRAFT)
    figures = overheads_of(profile.gpu)
    engine = SizedEngine(shape, draft.geometry, given, whole.bytes, figures)
    others = [_weights_item(WEIGHTS, loaded), *draft.items, *overhead(engine)]
    others += given.beside.of_weights(loaded.bytes)
    if not given.on_gpu:
        others = [item._replace(where=Where.HOST) for item in others]
    by_bytes = given.kv.vllm >= _KV_BYTES_FLAG and given.utilization is None
    sized = _kv_bytes(given, cache, others, profile, by_bytes=by_bytes)
    kv_bytes, beyond = sized.bytes, sized.beyond
    if not by_bytes and given.utilization is not None:
        # When the GPU's items take more, the cache gets less: their sum is the fraction.
        others = [item._replace(spread=0) if _in_fraction(item) else item for item in others]
    source = f"{cache.bytes_per_block} bytes a block, as vLLM allocates them" if cache.groups else "none: an encoder"
    kv_item = Item(KV_CACHE, kv_bytes, source, where=Where.GPU if given.on_gpu else Where.HOST)
    warnings = (*shape.warnings, *loaded.warnings, *draft.warnings, *cache.warnings)
    return Footprint(
        items=(others[0], kv_item, *others[1:], *beyond, *given.beside.of_cache(kv_bytes, others)),
        loaded=whole,
        kv=cache,
        kv_bytes=kv_bytes,
        kv_least_bytes=sized.least,
        by_bytes=by_bytes,
        utilization=given.utilization,
        warnings=(*warnings, *_without_the_flag(given, cache, kv_bytes)),
    )


def _request(given: Settings, shape: Geometry) -> KvRequest:
    """Return the request for the cache; the dtype auto becomes what the checkpoint was made for."""
    if given.kv.dtype == "auto" and shape.kv_cache_dtype is not None:
        return given.kv._replace(dtype=shape.kv_cache_dtype)
    return given.kv


def _without_the_flag(given: Settings, cache: KvCache, kv_bytes: int) -> Iterator[str]:
    """Yield the consequences, in words, of a vLLM that has no flag for the bytes of its cache."""
    if given.kv.vllm >= _KV_BYTES_FLAG or given.utilization is not None:
        return
    more = format_gib(kv_bytes - cache.bytes_for(given.cached_sequences))
    yield (
        f"vLLM {given.kv.vllm} has no --kv-cache-memory-bytes: a fraction sizes its cache, in steps of 0.01 that take "
        f"{more} more than the limits need, and vLLM counts what other processes do meanwhile as its own"
    )


def sizing(taken: Footprint, profile: HostProfile) -> Sizing:
    """Return the memory flags: a function of the settings, the facts and the profile, never of what is free now.

    vLLM checks ``free >= fraction x total`` at its start: a second safety net below the admission.
    """
    if taken.utilization is not None:
        return Sizing(None, taken.utilization)
    fraction = min(_fraction(_counted(taken.items, by_bytes=taken.by_bytes), profile), constants.MAX_FRACTION)
    # A vLLM without a cache asks for no memory, and measures nothing (0.32.0 v1/engine/core.py, has_kv_cache).
    return Sizing(taken.kv_bytes if taken.by_bytes and taken.kv.groups else None, fraction)


def longest_context(given: Settings, shape: Geometry, taken: Footprint, draft_facts: ModelFacts | None) -> int:
    """Return the longest context with which the cache still holds its number of sequences, at most the model's."""
    shape = of_one_rank(shape, given.split)
    draft = _draft(given, shape, draft_facts)
    most = max(shape.max_context or 0, given.kv.context)
    request = _request(given, shape)._replace(context=most)
    return largest_context(shape, request, taken.kv_bytes, sequences=given.cached_sequences, draft=draft.geometry)


def counted_items(items: Sequence[Item], *, by_bytes: bool) -> list[Item]:
    """Return the items that vLLM's fraction covers.

    If the fraction alone sizes the cache, on unified memory and on the CPU, the processes' own memory reduces what is
    left for the cache; therefore it is one of these items.
    """
    steady = [item for item in items if item.when is not When.START and item.name != GROWTH]
    on_gpu = [item for item in steady if item.where is Where.GPU]
    return on_gpu if by_bytes and on_gpu else steady


def _counted(items: Sequence[Item], *, by_bytes: bool) -> int:
    return middle(counted_items(items, by_bytes=by_bytes))


def _fraction(counted: int, profile: HostProfile) -> float:
    return math.ceil(counted * 100 / profile.total) / 100


class _Sized(NamedTuple):
    """The bytes of the cache, its least size, and the memory that comes on top if a fraction sizes it."""

    bytes: int
    least: int
    beyond: tuple[Item, ...] = ()


def _kv_bytes(
    given: Settings, cache: KvCache, others: Sequence[Item], profile: HostProfile, *, by_bytes: bool
) -> _Sized:
    for_limits = cache.bytes_for(given.cached_sequences)
    if given.beside.blocks is not None:
        size = given.beside.blocks * cache.bytes_per_block
        return _Sized(size, size)
    if by_bytes:
        size = for_limits if given.kv_bytes is None else given.kv_bytes
        return _Sized(size, size)
    if given.utilization is None:
        taken = _counted(others, by_bytes=False)
        size = int(_fraction(taken + for_limits, profile) * profile.total) - taken
        return _Sized(size, size)
    return _by_fraction(given, cache, others, profile)


def _by_fraction(given: Settings, cache: KvCache, others: Sequence[Item], profile: HostProfile) -> _Sized:
    """Return the cache that vLLM makes of a fraction: what its profile leaves.

    The processes come on top: 38 runs on a GB10 used a median of 6.9 GiB more than their fraction, the system's own
    included (djangodevreng/dgx-spark-benchmarks). vLLM subtracts from the cache its estimate for graphs, not their true
    size; what torch.compile gives back later; and before 0.27 also what fastsafetensors has not given back.
    """
    figures = overheads_of(profile.gpu)
    own = [item for item in others if _in_fraction(item) and item.name not in GRAPH_ITEMS]
    own += [item for item in others if item.when is When.START and item.where is Where.GPU]
    graphs = figures.graphs_estimated if not given.eager and given.on_gpu else None
    profiled = Item("profiled", graphs.size if graphs else 0, "", spread=graphs.spread if graphs else 0)
    noise = Item("noise", figures.profiled.size, "", spread=figures.profiled.spread)
    asked = int(given.utilization * profile.total) if given.utilization is not None else 0
    least = cache.bytes_for(1)
    size = max(asked - middle([*own, profiled, noise]), least)
    beyond = Item(
        "beyond the fraction",
        figures.beyond_fraction.size,
        figures.beyond_fraction.source,
        estimated=True,
        spread=figures.beyond_fraction.spread,
    )
    # Even if this leaves less than one sequence, vLLM may find room for it.
    return _Sized(size, max(asked - bound([*own, profiled, noise]), least), (beyond,))


def _in_fraction(item: Item) -> bool:
    """Return whether vLLM's profile sees the item on the GPU, and subtracts it from a cache that a fraction sizes."""
    return item.where is Where.GPU and item.when is not When.START


def _of_rank(loaded: Weights, given: Settings) -> Weights:
    return weights_of_one_rank(loaded, given.split, loaded.config, given.load.vllm)


def _weights_item(name: str, loaded: Weights) -> Item:
    spread = round(_WEIGHTS_OFF * loaded.bytes)
    return Item(name, loaded.bytes, loaded.source, estimated=loaded.estimated, spread=spread)


class _Draft(NamedTuple):
    """What drafting adds: weights, and a geometry whose layers join the cache."""

    weights: Weights | None = None
    geometry: Geometry | None = None
    warnings: tuple[str, ...] = ()

    @property
    def items(self) -> list[Item]:
        return [] if self.weights is None else [_weights_item(DRAFT, self.weights)]


def _draft(given: Settings, target: Geometry, facts: ModelFacts | None) -> _Draft:
    """Return what the draft model adds: its weights, and its layers that own KV cache."""
    drafting = given.drafting
    if drafting is None or (drafting.model is None and not drafting.by_own_layers):
        return _Draft()
    if drafting.model is None and target.mtp:
        return _Draft(None, target._replace(groups=target.mtp, known=True))
    if drafting.model is None:
        warning = "the drafting layers of the model itself are counted as one layer of full attention"
        return _Draft(None, _one_layer(target), (warning,))
    if facts is None:
        # An embedding and a head of the target's size, at two bytes a number, are more than most drafters have.
        size = 2 * 2 * target.vocabulary * target.hidden
        guess = Weights(size, "unknown: as an embedding and a head of the target's", estimated=True)
        warning = f"nothing is known of the draft model {drafting.model}: its memory is a guess from its target's"
        return _Draft(guess, _one_layer(target), (warning,))
    shape = geometry(facts.config) if facts.config else None
    loaded = weights(facts, given.load._replace(quantization=None, drafting_mtp=False), drafting.model)
    split = given.split._replace(pipeline=1)  # each stage that drafts holds all layers of the draft model
    loaded = _of_rank(loaded, given._replace(split=split))
    if shape is None and not facts.shares_cache:
        warning = f"the geometry of {drafting.model} is not known: its cache is counted as one layer's"
        return _Draft(loaded, _one_layer(target), (warning,))
    if shape is not None:
        shape = shape._replace(groups=as_built(shape.groups, shape.drafter, given.kv.vllm))
        shape = of_one_rank(shape, split)
    return _Draft(loaded, shape, shape.warnings if shape else ())


def _one_layer(target: Geometry) -> Geometry:
    """Return a drafter of one layer, as wide as the target's widest."""
    widest = max(target.groups, key=lambda group: group.kv_heads * group.head_dim)
    return target._replace(groups=(LayerGroup(Kind.FULL, 1, widest.kv_heads, widest.head_dim),), layers=1)


def _known(item: Item) -> str:
    return f"estimated: {item.source}" if item.estimated else item.source
