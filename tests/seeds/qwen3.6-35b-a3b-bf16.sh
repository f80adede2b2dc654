vllm serve Qwen/Qwen3.6-35B-A3B \
  --served-model-name qwen3.6-35b-a3b-bf16 \
  --max-model-len 131072 \
  --gpu-memory-utilization 0.95 \
  --kv-cache-dtype auto \
  --no-enable-prefix-caching \
  --no-async-scheduling \
  --limit-mm-per-prompt '{"image":0,"audio":0}' \
  --language-model-only --reasoning-parser qwen3 --trust-remote-code
