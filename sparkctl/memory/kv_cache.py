"""The KV cache exactly as vLLM allocates it: groups of layers with a block table each, drawn from one pool of blocks.

Formulas from vLLM 0.33.0 (``kv_cache_planning.py``: unification, grouping), compared with every minor release from 0.17
on (``v1/core/kv_cache_utils.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from packaging.version import Version

from sparkctl.memory.model.layers import Kind, merged
from sparkctl.memory.pages import CPU_BLOCK_SIZE, DEFAULT_BLOCK_SIZE, Bucket, KvRequest, blocks, buckets, element

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.memory.model.geometry import Geometry
    from sparkctl.memory.model.layers import LayerGroup

__all__ = ["CPU_BLOCK_SIZE", "DEFAULT_BLOCK_SIZE", "KvCache", "KvGroup", "KvRequest", "kv_cache"]

UNKNOWN_LEAST_TOKENS: Final = 16_384
"""The shortest context that an unknown architecture is charged for: a Mamba state does not grow with the context and
takes as much as two blocks of up to 4,176 tokens (Nemotron-3-Nano-30B's boot log on vLLM 0.26.0, djangodevreng/
dgx-spark-benchmarks); doubled once more, because this is an estimate."""
_TOKENS_BY_CONCURRENCY: Final = Version("0.20.1.dev0")
"""From here the logged "KV cache size" (tokens) is concurrency x context (0.20.2); up to 0.20.0, blocks over tables."""
_NULL_BLOCK_COUNTS: Final = Version("0.29.0.dev0")
_HALF_MORE: Final = Version("0.18.0.dev0")
"""Groups are filled up to the largest if it has less than 1.5 times the smallest's layers; before this, 1.25 times."""


class KvGroup(NamedTuple):
    """One block table, as vLLM groups layers. ``page_bytes`` is the size of one block of one of its layers.

    If the layers of a table differ in width, ``page_bytes`` is the sum of their pages, as in vLLM.
    """

    kind: Kind
    layers: int
    block_size: int
    page_bytes: int
    blocks_per_request: int


class KvCache(NamedTuple):
    """The pool of blocks. ``blocks_per_request`` is over all tables, for one sequence of the longest context."""

    groups: tuple[KvGroup, ...]
    bytes_per_block: int
    blocks_per_request: int
    context: int
    vllm: Version
    warnings: tuple[str, ...] = ()

    @property
    def bytes_per_request(self) -> int:
        """What one sequence of the longest context takes."""
        return self.bytes_per_block * self.blocks_per_request

    def bytes_for(self, sequences: int) -> int:
        """Return the bytes that ``sequences`` of the longest context need to be served at once.

        This is one block more than they use: every vLLM reserves a null block, and from 0.29 its start-up check counts
        it.
        """
        if not self.groups:
            return 0
        return self.bytes_per_block * (sequences * self.blocks_per_request + 1)

    def blocks_in(self, available_bytes: int) -> int:
        """Return ``num_gpu_blocks`` for these bytes."""
        return available_bytes // self.bytes_per_block if self.groups else 0

    def sequences_in(self, available_bytes: int) -> int:
        """Return the most sequences of the longest context for which vLLM's own start-up check finds room.

        From 0.29 on, that check does not count the null block as room.
        """
        if not self.groups:
            return 0
        kept = 1 if self.vllm >= _NULL_BLOCK_COUNTS else 0
        return max(0, self.blocks_in(available_bytes) - kept) // self.blocks_per_request

    def concurrency(self, available_bytes: int) -> float:
        """Return the logged "Maximum concurrency" for these bytes."""
        return self.blocks_in(available_bytes) / self.blocks_per_request if self.groups else 0.0

    def tokens(self, available_bytes: int) -> int:
        """Return the logged "KV cache size" in tokens. It is no capacity in any release (vllm#51041)."""
        if not self.groups:
            return 0
        if self.vllm < _TOKENS_BY_CONCURRENCY:
            least = min(group.block_size for group in self.groups)
            return self.blocks_in(available_bytes) // len(self.groups) * least
        return int(self.concurrency(available_bytes) * self.context)


def kv_cache(geometry: Geometry, request: KvRequest, *, draft: Geometry | None = None) -> KvCache:
    """Return the cache of one engine; the layers of a draft model that own a cache join the target's."""
    own = geometry.groups if geometry.caches else ()
    groups = merged([*own, *(draft.groups if draft else ())])
    request = _of_model(request, geometry)
    known = geometry.known and (draft is None or draft.known)
    context = request.context if known else max(request.context, UNKNOWN_LEAST_TOKENS)
    found = buckets(_without_windows(groups, request), own, request._replace(context=context))
    _, _, warning = element(request.dtype)
    warnings = (warning,) if warning else ()
    if not found:
        return KvCache((), 0, 0, request.context, request.vllm, warnings)
    counted = request._replace(context=context)
    one_table = len({_slots(bucket.group) for bucket in found}) == 1
    packed = all(bucket.group.page is not None for bucket in found)
    tables, block = (_packed if packed else _one_table if one_table else _many_tables)(found, counted)
    total = sum(table.blocks_per_request for table in tables)
    return KvCache(tuple(tables), block, total, request.context, request.vllm, warnings)


def _of_model(request: KvRequest, geometry: Geometry) -> KvRequest:
    """Return the request with the model's properties filled in: a model of states alone caches no prefix by default."""
    attends = any(group.state is None for group in geometry.groups)
    caching = request.prefix_caching if attends or request.prefix_caching else False
    return request._replace(prefix_caching=caching, state_chunk=geometry.state_chunk)


def largest_context(
    geometry: Geometry, request: KvRequest, available_bytes: int, *, sequences: int = 1, draft: Geometry | None = None
) -> int:
    """Return the longest context with which ``sequences`` fit into these bytes, at most the request's; 0 if none."""

    def fits(context: int) -> bool:
        cache = kv_cache(geometry, request._replace(context=context), draft=draft)
        return not cache.groups or cache.sequences_in(available_bytes) >= sequences

    low, high = 0, request.context
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _without_windows(groups: Sequence[LayerGroup], request: KvRequest) -> Sequence[LayerGroup]:
    """Return layers with windows as full attention if the hybrid manager is off.

    Chunked attention turns it off (vLLM 0.33.0 config/vllm.py). A model without full attention keeps its windows.
    """
    hybrid = request.hybrid and not any(group.kind is Kind.CHUNKED for group in groups)
    if hybrid or not any(group.window is None and group.state is None for group in groups):
        return groups
    return merged([g._replace(kind=Kind.FULL, window=None) if g.window is not None else g for g in groups])


def _slots(group: LayerGroup) -> object:
    """Return a key that is equal for layers which cache the same tokens, whatever their widths."""
    if group.state is not None:
        return group.state
    if group.kind is Kind.CROSS:
        return Kind.CROSS
    return (group.kind, group.window) if group.window is not None else None


def _one_table(found: Sequence[Bucket], request: KvRequest) -> tuple[list[KvGroup], int]:
    """Return one table for all layers, which cache the same tokens."""
    first = found[0]
    total = sum(bucket.page_bytes * bucket.group.layers for bucket in found)
    page = first.page_bytes if len({bucket.page_bytes for bucket in found}) == 1 else total
    layers = sum(bucket.group.layers for bucket in found)
    count = blocks(first.group, first.block_size, request)
    return [KvGroup(first.group.kind, layers, first.block_size, page, count)], total


def _many_tables(found: Sequence[Bucket], request: KvRequest) -> tuple[list[KvGroup], int]:
    """Return the tables of layers of several kinds: each kind is split so that all tables have equally many layers."""
    size = _group_size([bucket.group.layers for bucket in found], request.vllm)
    unified = _unified(found)
    tables = [
        KvGroup(bucket.group.kind, layers, bucket.block_size, bucket.page_bytes, count)
        for bucket in unified
        for count in [blocks(bucket.group, bucket.block_size, request)]
        for layers in _split(bucket.group.layers, size)
    ]
    return tables, unified[0].page_bytes * size


def _packed(found: Sequence[Bucket], request: KvRequest) -> tuple[list[KvGroup], int]:
    """Return tables shared by layers of several page sizes; a block is as large as the widest table (vLLM 0.32.0)."""
    kinds: dict[object, list[Bucket]] = {}
    for bucket in found:
        kinds.setdefault((bucket.group.window, bucket.block_size), []).append(bucket)
    even = [same for same in kinds.values() if len({bucket.group.layers for bucket in same}) == 1]
    least = max((same[0].group.layers for same in even if len(same) > 1), default=0)
    size = _least_padding([same[0].group.layers for same in even], least) if least else 0
    tables = []
    for same in kinds.values():
        first, layers = same[0], max(bucket.group.layers for bucket in same)
        number = -(-layers // size) if size and same in even else 1
        width = sum(-(-bucket.group.layers // number) * bucket.page_bytes for bucket in same)
        held = -(-sum(bucket.group.layers for bucket in same) // number)
        count = blocks(first.group, first.block_size, request)
        tables += [KvGroup(first.group.kind, held, first.block_size, width, count)] * number
    return tables, max(table.page_bytes for table in tables)


def _least_padding(counts: Sequence[int], least: int) -> int:
    """Return the number of layers in a table that leaves the fewest places empty; if several do, the largest."""
    return min(range(least, max(counts) + 1), key=lambda size: (sum(-count % size for count in counts), -size))


def _unified(found: Sequence[Bucket]) -> list[Bucket]:
    """Give all pages the largest size: with more tokens in a block if that divides, else with padding."""
    largest = max(bucket.page_bytes for bucket in found)

    def unify(bucket: Bucket) -> Bucket:
        ratio, rest = divmod(largest, bucket.page_bytes)
        return bucket._replace(block_size=bucket.block_size * (1 if rest else ratio), page_bytes=largest)

    return [unify(bucket) for bucket in found]


def _group_size(counts: Sequence[int], vllm: Version) -> int:
    """Return how many layers share a table: the smallest count of any kind, or the largest if that pads less."""
    fewest, most = min(counts), max(counts)
    near = 2 * most < 3 * fewest if vllm >= _HALF_MORE else 4 * most < 5 * fewest
    return most if near else fewest


def _split(layers: int, size: int) -> list[int]:
    """Return how many layers each table of a kind has; vLLM deals them out in turn."""
    tables = -(-layers // size)
    return [(layers - index + tables - 1) // tables for index in range(tables)]
