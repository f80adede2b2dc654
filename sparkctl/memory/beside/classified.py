"""Every flag of `vllm serve`, by what it does to the memory: an item counts it, a warning names it, or it takes none.

A test goes through all flags of all known releases: a flag that is in no table fails it. Read in vLLM 0.17.1, 0.20.2,
0.27.1 and 0.33.0 (``config/*.py``, ``engine/arg_utils.py``).
"""

from __future__ import annotations

from typing import Final

_BY_ITEM: Final = {
    "weights": """
        dtype hf-config-path hf-overrides language-model-only linear-backend load-format model model-loader-extra-config
        model_tag moe-backend quantization quantization-config revision runner convert mm-encoder-only
        kernel-config enable-expert-parallel calculate-kv-scales model-impl""",
    "weights on the host": """
        cpu-offload-gb cpu-offload-params offload-backend offload-group-size offload-num-in-group offload-params
        offload-prefetch-step""",
    "KV cache": """
        async-scheduling attention-backend attention-config block-size disable-hybrid-kv-cache-manager
        disable-sliding-window enable-prefix-caching kv-cache-dtype kv-cache-memory-bytes mamba-block-size
        mamba-cache-dtype mamba-cache-mode mamba-ssm-cache-dtype max-model-len num-gpu-blocks-override
        gpu-memory-utilization device-memory-utilization rope-scaling kv-sharing-fast-prefill
        decode-context-parallel-size prefill-context-parallel-size tensor-parallel-size pipeline-parallel-size""",
    "activations": """
        enable-chunked-prefill max-num-batched-tokens max-num-partial-prefills max-long-partial-prefills
        max-num-scheduled-tokens long-prefill-token-threshold""",
    "sampler": "max-num-seqs max-num-active-seqs max-logprobs logprobs-mode use-fp64-gumbel",
    "encoder": """
        limit-mm-per-prompt mm-encoder-attn-backend mm-encoder-attn-dtype mm-encoder-tp-mode mm-processor-kwargs
        skip-mm-profiling""",
    "CUDA graphs": """
        compilation-config cudagraph-capture-sizes enforce-eager max-cudagraph-capture-size optimization-level
        performance-mode""",
    "draft": "speculative-config spec-method spec-model spec-tokens",
    "LoRA slots": """
        enable-lora enable-tower-connector-lora fully-sharded-loras lora-dtype lora-target-modules max-loras
        max-lora-rank enable-mixed-moe-lora-format enable-moe-shared-loras specialize-active-lora""",
    "LoRA adapters on the host": "max-cpu-loras lora-modules default-mm-loras",
    "KV cache on the host": "kv-offloading-backend kv-offloading-size kv-transfer-config",
    "swap space": "swap-space",
    "cache of processed images": "mm-processor-cache-gb mm-processor-cache-type mm-shm-cache-max-object-size-mb",
    "API servers": "api-server-count",
    "other ranks": "data-parallel-size data-parallel-size-local",
    "while it starts": "safetensors-load-strategy max-parallel-loading-workers",
}
COUNTED: Final[dict[str, str]] = {flag: item for item, flags in _BY_ITEM.items() for flag in flags.split()}
"""The flags that an item of the plan counts, each with the item's name."""

UNCOUNTED: Final[dict[str, str]] = {
    "config": "flags in a file that the plan does not read: write them under args",
    "diffusion-config": "the canvas of each sequence takes vocabulary x canvas x 4 bytes several times",
    "ec-manager-config": "a cache of encoder outputs of its own",
    "ec-transfer-config": "encoder outputs are kept for other servers, on the host or on the GPU",
    "elastic-ep-max-dp-size": "experts are kept for servers that may come",
    "enable-dbo": "two batches run at once, each with activations of its own",
    "enable-elastic-ep": "experts are kept for servers that may come",
    "enable-eplb": "redundant experts are loaded more than once",
    "enable-return-routed-experts": "a buffer of the experts of every token",
    "enable-shm-tensor-arena": "slots in /dev/shm for large tensors",
    "engram-config": "the tables of engrams lie on the host, which is the GPU's pool",
    "eplb-config": "redundant experts are loaded more than once",
    "kv-cache-dtype-skip-layers": "the layers that it names keep 16 bits in the KV cache",
    "mm-ipc-gpu-memory-gb": "vLLM takes it off the KV cache: give the cache as much more with memory.kv",
    "mm-processor-device": "pictures are processed on the GPU, by every API server",
    "model-class-overrides": "a class of its own builds what it likes",
    "override-attention-dtype": "the KV cache takes its width",
    "sleep-mode-offload-cudagraph": "graphs are kept on the host while it sleeps",
    "ubatch-size": "several batches run at once, each with activations of its own",
    "use-replayssm": "a ring of past inputs beside each state",
    "replayssm-buffer-len": "a ring of past inputs beside each state",
    "weight-transfer-config": "weights that arrive are kept twice while they do",
    "worker-cls": "a class of its own takes what it likes",
    "worker-extension-cls": "a class of its own takes what it likes",
}
"""The flags that are known to take memory but that no item counts, each with what takes the memory."""

_PLAIN_NAMES: Final = """
    additional-config aggregate-engine-logging all2all-backend allow-credentials allow-deprecated-quantization
    allowed-headers allowed-local-media-path allowed-media-domains allowed-methods allowed-origins
    anthropic-disabled-thinking-effort api-key aux-output-config chat-template chat-template-content-format
    code-revision cohere-format cohere-is-reasoning-model collect-detailed-traces config-format
    cp-kv-cache-interleave-size cpu-distributed-timeout-seconds cudagraph-metrics custom-histogram-buckets
    data-parallel-address data-parallel-backend data-parallel-external-lb data-parallel-hybrid-lb
    data-parallel-multi-port-external-lb data-parallel-rank data-parallel-rpc-port data-parallel-start-rank
    data-parallel-supervisor-port dbo-decode-token-threshold dbo-prefill-token-threshold dcp-comm-backend
    dcp-kv-cache-interleave-size dcp-q-replicate default-chat-template-kwargs device-ids
    disable-access-log-for-endpoints disable-cascade-attn disable-chunked-mm-input disable-custom-all-reduce
    disable-fastapi-docs disable-frontend-multiprocessing disable-log-stats disable-nccl-for-dp-synchronization
    disable-uvicorn-access-log distributed-executor-backend distributed-timeout-seconds download-dir
    dp-supervisor-probe-failure-threshold dp-supervisor-probe-interval-s dp-supervisor-probe-timeout-s dp-sync-interval
    enable-auto-tool-choice enable-batch-sharded-sampling enable-bf16x3-router-gemm enable-cumem-allocator
    enable-ep-weight-filter enable-fault-tolerance enable-flash-late-interaction enable-flashinfer-autotune
    enable-force-include-usage enable-hc-sp enable-layerwise-nvtx-tracing enable-log-deltas enable-log-outputs
    enable-log-requests enable-logging-iteration-details enable-mamba-cache-stochastic-rounding
    enable-mamba-fine-grained-prefix-cache enable-mamba-shared-prefix-checkpoint enable-mfu-metrics enable-mm-embeds
    enable-nccl-comm-suspend enable-offline-docs enable-per-request-metrics enable-prompt-embeds
    enable-prompt-tokens-details enable-request-id-headers enable-scale-out enable-server-load-tracking
    enable-sleep-mode enable-ssl-refresh enable-tokenizer-info-endpoint enable-trace-replay
    exclude-tools-when-tool-choice-none expert-placement-strategy fail-on-environ-validation fault-tolerance-config
    fingerprint-mode fingerprint-value gdn-prefill-backend generation-config grpc grpc-port h11-max-header-count
    h11-max-incomplete-event-size headless help hf-token host ignore-patterns interleave-mm-strings io-processor-plugin
    ir-op-priority jit-monitor-mode jit-monitor-verbose kda-decode-backend kda-prefill-backend kv-cache-metrics
    kv-cache-metrics-sample kv-events-config log-config-file log-error-stack log-level logging-config logits-processors
    long-prefill-token-threshold-adaptive mamba-backend mamba-cache-philox-rounds mamba-ssu-algorithm master-addr
    master-port max-log-len max-lora-cls-labels max-num-queued-reqs max-num-queued-tokens media-io-kwargs middleware
    mm-device-do-normalize mm-encoder-fp8-scale-path mm-encoder-fp8-scale-save-margin mm-encoder-fp8-scale-save-path
    mm-hasher-algorithm mm-tensor-ipc monokernel nnodes node-rank numa-bind numa-bind-cpus numa-bind-nodes
    otlp-traces-endpoint override-generation-config per-request-spec-decode-metrics pooler-config port
    prefill-schedule-interval prefix-cache-retention-interval prefix-caching-hash-algo prefix-match-unit profiler-config
    pt-load-map-location ray-workers-use-nsight reasoning-config reasoning-effort-map reasoning-parser
    reasoning-parser-plugin renderer-num-workers response-role return-sampling-mask return-tokens-as-token-ids root-path
    safetensors-prefetch-block-size safetensors-prefetch-num-threads scheduler-cls scheduler-reserve-full-isl
    scheduling-policy seed served-model-name show-hidden-metrics-for-version shutdown-timeout skip-tokenizer-init
    sleep-mode-backend sleep-preserve-parameter-names sparse-indexer-topk-backend sse-keep-alive-interval ssl-ca-certs
    ssl-cert-reqs ssl-certfile ssl-ciphers ssl-keyfile stream-interval structured-outputs-config swa-bounded-replay
    tokenizer tokenizer-mode tokenizer-revision tokens-only tool-call-parser tool-parser-plugin tool-server
    tool-strict-level trust-remote-code trust-request-chat-template trust-request-mm-kwargs uds
    use-gpu-for-pooling-score use-tqdm-on-load uvicorn-log-level video-pruning-method video-pruning-rate watchdog-config
    watermark watermark-config
"""
PLAIN: Final = frozenset(_PLAIN_NAMES.split())
"""The flags that only name, log, route, parse or time, or whose memory an item counts whatever their value."""

UNCOUNTED_VARIABLES: Final[dict[str, str]] = {
    "FLEXKV_CONFIG_PATH": "FlexKV's host cache, whose size stands in a file",
    "FLEXKV_CPU_CACHE_GB": "FlexKV's host cache",
    "MOONCAKE_CONFIG_PATH": "Mooncake's segment and buffer, whose sizes stand in a file",
    "VLLM_DEEPEP_BUFFER_SIZE_MB": "a buffer of DeepEP's",
    "VLLM_FLASHINFER_WORKSPACE_BUFFER_SIZE": "FlashInfer's workspace on the GPU",
    "VLLM_MXFP4_EMULATION_DEQUANT_AT_LOAD": "4-bit experts become 16 bits wide when they are loaded",
    "VLLM_MXFP8_EMULATION_DEQUANT_AT_LOAD": "8-bit weights become 16 bits wide when they are loaded",
    "VLLM_PLE_CPU_OFFLOAD": "the per-layer embeddings lie on the host, which is the GPU's pool",
}
"""The variables that are known to take memory and that no item counts."""

TAKING: Final = COUNTED.keys() | UNCOUNTED.keys()
"""The flags that change what a server takes."""
