"""Single flags laid over a recipe's settings, or over vLLM's defaults: the input of `sparkctl size`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from sparkctl.memory.kv_cache import KvRequest
from sparkctl.memory.settings import WITHOUT_ASYNC, Drafting, Settings
from sparkctl.memory.weights.load_options import LoadOptions

if TYPE_CHECKING:
    from packaging.version import Version

    from sparkctl.memory.facts import ModelFacts

T = TypeVar("T")

DEFAULT_BATCHED_TOKENS: Final = 2048
DEFAULT_SEQUENCES: Final = 256
"""vLLM's two defaults on a GB10: those for a GPU whose memory NVML does not report, and since
0.33.0 for a GB10 by name (vLLM 0.33.0 engine/arg_utils.py; measured in vLLM PR #57378)."""


class Changes(NamedTuple):
    """The flags that are given; None leaves what is there. ``draft`` is a draft model's repository."""

    vllm: Version | None = None
    kv_cache_dtype: str | None = None
    max_model_len: int | None = None
    max_num_batched_tokens: int | None = None
    max_num_seqs: int | None = None
    quantization: str | None = None
    language_model_only: bool = False
    speculative_tokens: int | None = None
    draft: str | None = None
    no_async_scheduling: bool = False
    disable_hybrid_kv_cache_manager: bool = False
    block_size: int | None = None
    available: int | None = None
    enable_prefix_caching: bool | None = None
    mamba_cache_dtype: str | None = None
    mamba_ssm_cache_dtype: str | None = None
    tensor_parallel_size: int | None = None
    pipeline_parallel_size: int | None = None
    enable_expert_parallel: bool = False
    nnodes: int | None = None
    enforce_eager: bool = False
    moe_backend: str | None = None
    gpu_memory_utilization: float | None = None
    load_format: str | None = None


def defaults(version: Version, context: int, facts: ModelFacts) -> Settings:
    """Return vLLM's own settings on a GB10; the cache has to hold one sequence of ``context`` tokens."""
    encoder = bool(facts.inputs)
    item = facts.multimodal.max_item_tokens if facts.multimodal and encoder else None
    batched = max(DEFAULT_BATCHED_TOKENS, item or 0)
    return Settings(
        kv=KvRequest(context=context, batched_tokens=batched, vllm=version),
        load=LoadOptions(vllm=version, batched_tokens=batched),
        sequences=DEFAULT_SEQUENCES,
        cached_sequences=1,
        encoder=encoder,
    )


def changed(settings: Settings, changes: Changes) -> Settings:
    """Return the settings with the given flags."""
    drafting = _drafting(settings, changes)
    sequences = changes.max_num_seqs or settings.sequences
    batched = changes.max_num_batched_tokens or settings.kv.batched_tokens
    without_async = changes.no_async_scheduling or (drafting is not None and drafting.method in WITHOUT_ASYNC)
    stages = changes.pipeline_parallel_size or settings.split.pipeline
    kv = settings.kv._replace(
        stages=stages,
        context=changes.max_model_len or settings.kv.context,
        batched_tokens=batched,
        vllm=changes.vllm or settings.kv.vllm,
        dtype=changes.kv_cache_dtype or settings.kv.dtype,
        block_size=changes.block_size or settings.kv.block_size,
        asynchronous=settings.kv.asynchronous and not without_async,
        hybrid=settings.kv.hybrid and not changes.disable_hybrid_kv_cache_manager,
        prefix_caching=_or(changes.enable_prefix_caching, settings.kv.prefix_caching),
        state_dtype=changes.mamba_cache_dtype or settings.kv.state_dtype,
        recurrence_dtype=changes.mamba_ssm_cache_dtype or settings.kv.recurrence_dtype,
        speculative_tokens=drafting.tokens if drafting is not None else 0,
    )
    text_only = settings.load.language_model_only or changes.language_model_only
    load = settings.load._replace(
        vllm=kv.vllm,
        quantization=changes.quantization or settings.load.quantization,
        language_model_only=text_only,
        batched_tokens=batched,
        drafting_mtp=drafting is not None and drafting.by_own_layers,
        moe_backend=changes.moe_backend or settings.load.moe_backend,
    )
    return settings._replace(
        kv=kv,
        load=load,
        # vLLM schedules at least one token of each sequence in a step.
        sequences=min(sequences, batched),
        cached_sequences=changes.max_num_seqs or settings.cached_sequences,
        encoder=settings.encoder and not text_only,
        drafting=drafting,
        eager=settings.eager or changes.enforce_eager,
        split=settings.split._replace(
            tensor=changes.tensor_parallel_size or settings.split.tensor,
            pipeline=stages,
            by_expert=settings.split.by_expert or changes.enable_expert_parallel,
            nodes=changes.nnodes or settings.split.nodes,
        ),
        utilization=_or(changes.gpu_memory_utilization, settings.utilization),
        load_format=changes.load_format or settings.load_format,
        kv_bytes=settings.kv_bytes if changes.available is None else changes.available,
    )


def _or(given: T | None, there: T | None) -> T | None:
    return there if given is None else given


def _drafting(settings: Settings, changes: Changes) -> Drafting | None:
    if changes.draft is not None:
        return Drafting(changes.speculative_tokens or 1, model=changes.draft)
    if changes.speculative_tokens is None:
        return settings.drafting
    if settings.drafting is not None:
        return settings.drafting._replace(tokens=changes.speculative_tokens)
    return Drafting(changes.speculative_tokens, method="mtp")
