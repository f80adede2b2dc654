HF_HUB_OFFLINE=1 vllm serve Qwen/Qwen3-Embedding-8B \
  --host 0.0.0.0 --port 8000 \
  --served-model-name qwen3-embedding-8b Qwen/Qwen3-Embedding-8B \
  --convert embed \
  --dtype bfloat16 \
  --max-model-len 32768 \
  --max-num-batched-tokens 8192 \
  --max-num-seqs 64 \
  --kv-cache-memory-bytes 5033164800 \
  --gpu-memory-utilization 0.15 --enforce-eager
