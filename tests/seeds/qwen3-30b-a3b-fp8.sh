VLLM_FLASHINFER_MOE_BACKEND=latency vllm serve Qwen/Qwen3-30B-A3B-FP8 \
  --max-model-len 32768 \
  --gpu-memory-utilization 0.30 \
  --trust-remote-code \
  --tensor-parallel-size 1 \
  --kv-cache-dtype fp8 \
  --enable-prefix-caching \
  --reasoning-parser qwen3 \
  --structured-outputs-config.backend xgrammar
