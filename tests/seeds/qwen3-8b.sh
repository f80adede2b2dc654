vllm serve Qwen/Qwen3-8B \
  --host 0.0.0.0 --port 8000 \
  --max-model-len 24576 \
  --gpu-memory-utilization 0.20 \
  --enable-auto-tool-choice --tool-call-parser hermes \
  --kv-cache-dtype fp8 \
  --enable-prefix-caching \
  --enforce-eager \
  --tensor-parallel-size 1
