"""The flags that sparkrun makes of ``defaults`` where a recipe has no command of its own.

The keys are those of spark-arena/sparkrun, runtimes/_vllm_common.py (``VLLM_FLAG_MAP``): most are vLLM's flags with
underscores. A key that is not among them has no effect there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.recipes.exchange.launch import Word
from sparkctl.recipes.exchange.sources.yaml_files.keys import as_text, bare

if TYPE_CHECKING:
    from sparkctl.recipes.exchange.sources.yaml_files.keys import TakenKeys

_OTHERWISE: Final = {
    "tensor_parallel": "--tensor-parallel-size",
    "pipeline_parallel": "--pipeline-parallel-size",
    "data_parallel": "--data-parallel-size",
}
_AS_FLAGS: Final = {
    "port", "host", "gpu_memory_utilization", "max_model_len", "max_num_batched_tokens", "max_num_seqs",
    "served_model_name", "dtype", "quantization", "distributed_executor_backend", "kv_cache_dtype",
    "otlp_traces_endpoint", "api_key", "attention_backend", "load_format", "reasoning_parser", "tool_call_parser",
    "chat_template", "speculative_config", "tokenizer_mode", "mm_encoder_tp_mode", "block_size", "seed",
    "generation_config", "hf_overrides", "compilation_config", "attention_config", "model_loader_extra_config",
    "default_chat_template_kwargs", "limit_mm_per_prompt", "mm_processor_cache_gb", "kv_cache_memory_bytes",
    "max_cudagraph_capture_size", "long_prefill_token_threshold", "mamba_cache_mode", "safetensors_load_strategy",
    "moe_backend", "linear_backend", "gdn_prefill_backend", "gdn_decode_kernel", "kda_prefill_backend",
    "mamba_backend", "recurrent_checkpoint_policy", "prefix_cache_retention_interval", "engram_config",
    "dcp_comm_backend", "prefill_policy", "prefill_compute_share", "prefill_compute_half_life",
    "prefill_schedule_interval", "max_parallel_prefills", "decode_refill_target", "jit_monitor_mode",
}  # fmt: skip
_NEGATED: Final = {
    "enable_prefix_caching", "enable_chunked_prefill", "async_scheduling", "enable_flashinfer_autotune",
    "scheduler_reserve_full_isl",
}  # fmt: skip
"""Switches that vLLM turns on by itself: false is their ``--no-`` form."""
_SWITCHES: Final = {
    *_NEGATED,
    "enforce_eager", "trust_remote_code", "enable_auto_tool_choice", "enable_prompt_tokens_details",
    "enable_force_include_usage", "enable_request_id_headers", "disable_custom_all_reduce",
}  # fmt: skip


def words_of(model: Word, defaults: TakenKeys) -> tuple[Word, ...]:
    """Return ``vllm serve MODEL`` with the flags for the defaults; defaults without a flag are left over."""
    words = [Word("vllm", model.place), Word("serve", model.place), model]
    for key in defaults:
        node = defaults.take(key)
        if node is None:
            continue
        place, flag = bare(node.key), f"--{key.replace('_', '-')}"
        value = as_text(node) or ""
        if key in _SWITCHES:
            on = value.lower() in {"true", "yes", "on", "1"}
            words += [Word(flag, place)] if on else []
            words += [Word(f"--no-{flag[2:]}", place)] if not on and key in _NEGATED else []
        elif key in _OTHERWISE or key in _AS_FLAGS:
            words += [Word(_OTHERWISE.get(key, flag), place), Word(value, bare(node.place))]
        else:
            defaults.leave(key, "sparkrun makes no flag of it: it has no effect there either")
    return tuple(words)
