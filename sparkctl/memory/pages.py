"""The request that decides one engine's cache, and the page of a layer: one block of one layer, in bytes.

Read in vLLM 0.33.0 (``kv_cache_interface.py``, ``platforms/interface.py``), and compared with every minor release from
0.17 on.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from packaging.version import Version

from sparkctl.memory.model.layers import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.memory.model.layers import LayerGroup, RecurrentState

DEFAULT_BLOCK_SIZE: Final = 16
"""Tokens in a block (vLLM config/cache.py DEFAULT_BLOCK_SIZE)."""
CPU_BLOCK_SIZE: Final = 128
"""Tokens in a block on the CPU (vLLM 0.32.0 platforms/cpu.py)."""
_MLA_ALIGNMENT: Final = 128
"""A block's tokens are a multiple of this if MLA stands beside a state (vLLM 0.33.0 platforms/interface.py)."""

# The first versions of a rule; ``.dev0`` lets a pre-release count as new, which is never too little.
_TWO_BATCHES_IN_FLIGHT: Final = Version("0.26.0.dev0")
_STATES_ARE_CACHED: Final = Version("0.26.0.dev0")
"""Since this version prefix caching is the default also for models with a state (vLLM config/model.py)."""
_ALIGNED_ALWAYS: Final = Version("0.29.0.dev0")
_ALL_WITH_DRAFTS: Final = Version("0.21.0.dev0")
_DRAFTED: Final = Version("0.26.0.dev0")
"""Since this version states at every block have extra blocks for drafts (vLLM kv_cache_interface.py, MambaSpec)."""

_BITS: Final = {
    **dict.fromkeys(("auto", "bfloat16", "float16", "half"), 16),
    **dict.fromkeys(("fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc"), 8),
    **dict.fromkeys(("float32", "float"), 32),
}
_NVFP4: Final = frozenset({"nvfp4", "nvfp4_4over6"})
"""Half a byte a number, and a byte of scale for every 16, of keys and of values (vLLM 0.20.2 and 0.33.0
utils/torch_utils.py nvfp4_kv_cache_full_dim)."""
_STATE_BYTES: Final = {"float32": 4, "float16": 2, "bfloat16": 2}
_PER_TOKEN_HEAD: Final = {"fp8_per_token_head": 8, "int8_per_token_head": 8, "int4_per_token_head": 4}
_SCALE_BYTES: Final = 8
"""Two float32 scales, for the key and for the value, for each token and head (vLLM kv_cache_interface.py)."""
_MLA_TOKEN_BYTES: Final = {"fp8_ds_mla": 656, "nvfp4_ds_mla": 352}
"""A token of DeepSeek's sparse MLA with its scales (vLLM mla_attention.py)."""


class KvRequest(NamedTuple):
    """What decides the cache beside the geometry. ``dtype`` auto is 16 bits, also where the weights are float32.

    ``asynchronous``: the scheduler prepares a batch while another runs (``--async-scheduling``, the default; drafting
    by n-grams turns it off). ``hybrid``: without ``--disable-hybrid-kv-cache-manager``. ``prefix_caching`` None is the
    release's default. ``speculative_tokens`` are drafted in a step. ``state_dtype`` and ``recurrence_dtype`` are the
    types of a Mamba or linear-attention state and of its recurrence; auto is the model's own. ``state_chunk`` is what
    ``kv_cache`` fills in: the tokens of a chunk of a Mamba model whose states can be cached at every block, else None.
    ``stages`` are those of a pipeline.
    """

    context: int
    batched_tokens: int
    vllm: Version
    dtype: str = "auto"
    block_size: int = DEFAULT_BLOCK_SIZE
    asynchronous: bool = True
    hybrid: bool = True
    prefix_caching: bool | None = None
    speculative_tokens: int = 0
    state_dtype: str = "auto"
    recurrence_dtype: str = "auto"
    state_chunk: int | None = None
    stages: int = 1

    @property
    def in_flight(self) -> int:
        """The tokens that are scheduled and not settled: one batch, or two from 0.26 on (vLLM PR #47728).

        A pipeline has a batch for each stage, and one more if batches are prepared ahead (vLLM 0.32.0 config/vllm.py,
        max_concurrent_batches; its older runner has one less).
        """
        ahead = self.asynchronous and self.vllm >= _TWO_BATCHES_IN_FLIGHT
        return self.batched_tokens * (self.stages + ahead if self.stages > 1 or ahead else 1)

    @property
    def state_blocks(self) -> int:
        """The blocks in which a sequence keeps a layer's state: one more if states are cached with their prefix."""
        return (2 if self._caches_states else 1) + self.speculative_tokens

    @property
    def states_at_blocks(self) -> bool:
        """Whether a sequence keeps a state for every block of its context: ``mamba_cache_mode`` all.

        Up to 0.28, models whose class supports it got this once prefixes are cached; since 0.29 their states are cached
        like those of other models (vLLM 0.20.2, 0.27.1 and 0.29.0 models/config.py). 0.20 did not do it with drafts.
        """
        if self.state_chunk is None or not self._caches_states or self.vllm >= _ALIGNED_ALWAYS:
            return False
        return not self.speculative_tokens or self.vllm >= _ALL_WITH_DRAFTS

    @property
    def _caches_states(self) -> bool:
        return self.vllm >= _STATES_ARE_CACHED if self.prefix_caching is None else self.prefix_caching


class Bucket(NamedTuple):
    """Layers with one spec during the computation. ``page_bytes`` may be padded to more than the layer fills."""

    group: LayerGroup
    block_size: int
    page_bytes: int


def element(dtype: str) -> tuple[int, int, str | None]:
    """Return the bits of a cached number, the bytes of the scales beside each token and head, and a warning."""
    name = dtype.lower()
    if name in _PER_TOKEN_HEAD:
        return _PER_TOKEN_HEAD[name], _SCALE_BYTES, None
    if name in _MLA_TOKEN_BYTES:
        return 8, 0, None
    if name in _NVFP4:
        return 4, 0, None
    if name not in _BITS:
        return 16, 0, f"kv-cache-dtype {dtype} is not known: counted as 16 bits"
    return _BITS[name], 0, None


def token_bytes(group: LayerGroup, dtype: str) -> int:
    """Return what one token takes in one attention layer."""
    bits, scales, _ = element(dtype)
    if group.element_bytes is not None:
        # Such a layer keeps one vector: the key of an index, or the inputs of convolutions.
        return group.kv_heads * group.head_dim * group.element_bytes
    if group.kind is Kind.MLA:
        return _MLA_TOKEN_BYTES.get(dtype.lower(), group.kv_heads * group.head_dim * bits // 8)
    values = group.head_dim if group.value_dim is None else group.value_dim
    if dtype.lower() in _NVFP4:
        return group.kv_heads * sum(width // 2 + width // 16 for width in (group.head_dim, values))
    return group.kv_heads * ((group.head_dim + values) * bits // 8 + scales)


def state_bytes(state: RecurrentState, request: KvRequest | None = None) -> int:
    """Return the bytes of one layer's state for one sequence (vLLM mamba_utils.py); without a request, the state alone.

    ``--mamba-cache-dtype`` is the type of the whole state, except a recurrence whose type is set by the model or by
    ``--mamba-ssm-cache-dtype``.
    """
    conv_bytes, recurrent_bytes, drafted = state.conv_bytes, state.recurrent_bytes, 0
    if request is not None:
        conv_bytes = _STATE_BYTES.get(request.state_dtype, conv_bytes)
        if not state.own_recurrence:
            recurrent_bytes = _STATE_BYTES.get(request.state_dtype, recurrent_bytes)
        recurrent_bytes = _STATE_BYTES.get(request.recurrence_dtype, recurrent_bytes)
        drafted = request.speculative_tokens
    conv = state.conv_width * (state.conv_kernel - 1 + drafted) * conv_bytes
    return conv + state.recurrent * recurrent_bytes


def buckets(groups: Sequence[LayerGroup], own: Sequence[LayerGroup], request: KvRequest) -> list[Bucket]:
    """Return the layers with their blocks and pages; ``own`` of ``groups`` are the model's, the rest a draft's.

    Beside a state, attention's block is enlarged until its page holds the state, which is then padded to that page.
    Only the model's own attention decides this (vLLM 0.22.1 and 0.33.0 platforms/interface.py): a draft model's pages
    may be larger, and then all are padded to them.
    """
    attention = [group for group in own if group.state is None]
    states = [state_bytes(group.state, request) for group in own if group.state is not None]
    size = request.block_size
    if states and attention:
        size = _beside_states(max(states), attention, request)
    sizes = [group.block or size for group in groups]
    pages = [_page(group, block, request) for group, block in zip(groups, sizes, strict=True)]
    largest = max(pages, default=0)
    tokens = size if request.states_at_blocks else request.context
    return [
        Bucket(group, tokens, largest) if group.state is not None else Bucket(group, block, page)
        for group, block, page in zip(groups, sizes, pages, strict=True)
    ]


def _beside_states(state: int, attention: Sequence[LayerGroup], request: KvRequest) -> int:
    """Return the tokens of attention's block: enough for its page to hold a state of ``state`` bytes."""
    widest = max(token_bytes(group, request.dtype) for group in attention)
    aligned = request.block_size
    if any(group.kind is Kind.MLA for group in attention):
        aligned = max(aligned, _MLA_ALIGNMENT)
    if request.states_at_blocks:
        aligned = math.lcm(aligned, request.state_chunk or 1)
    return aligned * _cdiv(state, aligned * widest)


def _page(group: LayerGroup, block_size: int, request: KvRequest) -> int:
    if group.state is not None:
        return state_bytes(group.state, request)
    if group.page is not None:
        return group.page
    return block_size * token_bytes(group, request.dtype)


def blocks(group: LayerGroup, block_size: int, request: KvRequest) -> int:
    """Return the blocks that one sequence of the longest context holds in one table."""
    if group.state is not None and request.states_at_blocks:
        return _cdiv(request.context, block_size) + (request.speculative_tokens if request.vllm >= _DRAFTED else 0)
    if group.state is not None:
        return request.state_blocks
    if group.kind is Kind.CROSS:
        # This is what vLLM's check counts, even if the model reads less: whisper 1,500 (0.32.0 CrossAttentionSpec).
        return _cdiv(request.batched_tokens, block_size)
    if group.window is None:
        return _cdiv(request.context, block_size)
    if group.kind is Kind.CHUNKED:
        return _cdiv(min(group.window + request.in_flight, request.context), block_size)
    return _cdiv(min(group.window - 1 + request.in_flight, request.context), block_size) + 1


def _cdiv(number: int, by: int) -> int:
    return -(-number // by)
