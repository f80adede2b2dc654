"""The KV cache exactly as vLLM allocates it: pages, groups of layers, blocks per request.

Formulas from vLLM 0.33.0: ``kv_cache_interface.py`` (pages, blocks of a window) and ``kv_cache_planning.py``
(unification, grouping); 0.20.2 and 0.32.0 (``v1/core/kv_cache_utils.py``) compute the same for these layers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from packaging.version import Version

from sparkctl.memory.geometry import Kind

if TYPE_CHECKING:
    from sparkctl.memory.geometry import Geometry, LayerGroup

DEFAULT_BLOCK_SIZE: Final = 16
"""Tokens in a block (vLLM config/cache.py DEFAULT_BLOCK_SIZE)."""
CPU_BLOCK_SIZE: Final = 128
"""Tokens in a block on the CPU (vLLM 0.32.0 platforms/cpu.py)."""
UNKNOWN_LEAST_TOKENS: Final = 16_384
"""The shortest context that an unknown architecture is charged for: a Mamba state does not grow with the context and
takes as much as two blocks of up to 4,176 tokens (Nemotron-3-Nano-30B's boot log on vLLM 0.26.0, djangodevreng/
dgx-spark-benchmarks); doubled once more, because this is an estimate."""

# The first versions of a rule; ``.dev0`` lets a pre-release count as new, which is never too little.
_TWO_BATCHES_IN_FLIGHT: Final = Version("0.26.0.dev0")
_BYTES: Final = {
    "auto": 2,
    "fp8": 1,
    "fp8_e4m3": 1,
    "fp8_e5m2": 1,
    "fp8_inc": 1,
    "bfloat16": 2,
    "float16": 2,
    "float32": 4,
}
_PER_TOKEN_HEAD: Final = {"fp8_per_token_head": 1, "int8_per_token_head": 1}
_SCALE_BYTES: Final = 8
"""Two float32 scales, for the key and for the value, for each token and head (vLLM kv_cache_interface.py)."""


@dataclass(frozen=True, slots=True)
class KvRequest:
    """What decides the cache beside the geometry. ``dtype`` auto is 16 bits, also where the weights are float32.

    ``asynchronous``: the scheduler prepares a batch while another runs (``--async-scheduling``, the default; drafting
    by n-grams turns it off). ``hybrid``: without ``--disable-hybrid-kv-cache-manager``.
    """

    context: int
    batched_tokens: int
    vllm: Version
    dtype: str = "auto"
    block_size: int = DEFAULT_BLOCK_SIZE
    asynchronous: bool = True
    hybrid: bool = True


@dataclass(frozen=True, slots=True)
class KvGroup:
    """Layers that share a block table: ``tables`` tables for ``layers`` layers of one kind."""

    kind: Kind
    layers: int
    tables: int
    block_size: int
    page_bytes: int
    blocks_per_request: int


@dataclass(frozen=True, slots=True)
class KvCache:
    """The pool of blocks. ``blocks_per_request`` is over all tables, for one sequence of the longest context."""

    groups: tuple[KvGroup, ...]
    bytes_per_block: int
    blocks_per_request: int
    context: int
    warnings: tuple[str, ...] = ()

    @property
    def bytes_per_request(self) -> int:
        """What one sequence of the longest context takes."""
        return self.bytes_per_block * self.blocks_per_request

    def bytes_for(self, sequences: int) -> int:
        """Return the bytes with which ``sequences`` of the longest context are served at once.

        One block more than they use: every vLLM keeps a null block back, and from 0.29 its start-up check counts it.
        """
        if not self.groups:
            return 0
        return self.bytes_per_block * (sequences * self.blocks_per_request + 1)

    def blocks_in(self, available_bytes: int) -> int:
        """Return ``num_gpu_blocks`` for these bytes."""
        return available_bytes // self.bytes_per_block if self.groups else 0

    def concurrency(self, available_bytes: int) -> float:
        """Return the logged "Maximum concurrency" for these bytes."""
        return self.blocks_in(available_bytes) / self.blocks_per_request if self.groups else 0.0

    def tokens(self, available_bytes: int) -> int:
        """Return the logged "KV cache size" in tokens, as 0.20.2 and later derive it; no capacity (vllm#51041)."""
        return int(self.concurrency(available_bytes) * self.context)


@dataclass(frozen=True, slots=True)
class _Bucket:
    """Layers with one spec, while it is worked out."""

    group: LayerGroup
    block_size: int
    page_bytes: int


def kv_cache(geometry: Geometry, request: KvRequest, *, draft: Geometry | None = None) -> KvCache:
    """Return the cache of one engine; the layers of a draft model that own a cache join the target's."""
    warnings: list[str] = []
    element, scales = _element(request.dtype, warnings)
    groups = [*geometry.groups, *(draft.groups if draft else ())]
    known = geometry.known and (draft is None or draft.known)
    context = request.context if known else max(request.context, UNKNOWN_LEAST_TOKENS)
    counted = replace(request, context=context)
    if not request.hybrid and any(group.kind is Kind.FULL for group in groups):
        groups = [replace(group, kind=Kind.FULL, window=None) for group in groups]
    buckets = [_bucket(group, request.block_size, element, scales) for group in _merged(groups)]
    if not buckets:
        return KvCache((), 0, 0, request.context, tuple(warnings))
    one_table = len({(bucket.group.kind, bucket.group.window) for bucket in buckets}) == 1
    tables = _one_table(buckets, counted) if one_table else _many_tables(buckets, counted)
    page = sum(b.page_bytes * b.group.layers for b in buckets) if one_table else _bytes_per_block(buckets)
    blocks = tables[0].blocks_per_request if one_table else sum(one.tables * one.blocks_per_request for one in tables)
    return KvCache(tuple(tables), page, blocks, request.context, tuple(warnings))


def _element(dtype: str, warnings: list[str]) -> tuple[int, int]:
    """Return the bytes of a cached number and of the scales beside each token and head."""
    name = dtype.lower()
    if name in _PER_TOKEN_HEAD:
        return _PER_TOKEN_HEAD[name], _SCALE_BYTES
    if name not in _BYTES:
        warnings.append(f"kv-cache-dtype {dtype} is not known: counted as 16 bits")
        return 2, 0
    return _BYTES[name], 0


def _merged(groups: list[LayerGroup]) -> list[LayerGroup]:
    """Return the groups with those of one shape taken together."""
    counted: dict[LayerGroup, int] = {}
    for group in groups:
        shape = replace(group, layers=1)
        counted[shape] = counted.get(shape, 0) + group.layers
    return [replace(shape, layers=layers) for shape, layers in counted.items()]


def _bucket(group: LayerGroup, block_size: int, element: int, scales: int) -> _Bucket:
    """Return the bucket with its page: keys and values of one block of one layer."""
    return _Bucket(group, block_size, block_size * group.kv_heads * (2 * group.head_dim * element + scales))


def _blocks(group: LayerGroup, block_size: int, request: KvRequest) -> int:
    """Return the blocks that one sequence of the longest context holds in one table."""
    if group.window is None:
        return _cdiv(request.context, block_size)
    batches = 2 if request.asynchronous and request.vllm >= _TWO_BATCHES_IN_FLIGHT else 1
    in_flight = batches * request.batched_tokens
    return _cdiv(min(group.window - 1 + in_flight, request.context), block_size) + 1


def _one_table(buckets: list[_Bucket], request: KvRequest) -> list[KvGroup]:
    """All layers cache the same tokens: one table serves them all, whatever their widths."""
    return [
        KvGroup(b.group.kind, b.group.layers, 1, b.block_size, b.page_bytes, _blocks(b.group, b.block_size, request))
        for b in buckets
    ]


def _unified(buckets: list[_Bucket]) -> list[_Bucket]:
    """Give all pages the size of the largest: more tokens in a block where that divides, padding where it does not."""
    largest = max(bucket.page_bytes for bucket in buckets)

    def unify(bucket: _Bucket) -> _Bucket:
        ratio, rest = divmod(largest, bucket.page_bytes)
        return replace(bucket, block_size=bucket.block_size * (1 if rest else ratio), page_bytes=largest)

    return [unify(bucket) for bucket in buckets]


def _group_size(buckets: list[_Bucket]) -> int:
    """Return how many layers share a table: the fewest of any kind, or the most where that pads less."""
    counts = [bucket.group.layers for bucket in buckets]
    fewest, most = min(counts), max(counts)
    return most if 2 * most < 3 * fewest else fewest


def _bytes_per_block(buckets: list[_Bucket]) -> int:
    return _unified(buckets)[0].page_bytes * _group_size(buckets)


def _many_tables(buckets: list[_Bucket], request: KvRequest) -> list[KvGroup]:
    size = _group_size(buckets)
    return [
        KvGroup(
            kind=bucket.group.kind,
            layers=bucket.group.layers,
            tables=_cdiv(bucket.group.layers, size),
            block_size=bucket.block_size,
            page_bytes=bucket.page_bytes,
            blocks_per_request=_blocks(bucket.group, bucket.block_size, request),
        )
        for bucket in _unified(buckets)
    ]


def _cdiv(number: int, by: int) -> int:
    return -(-number // by)
