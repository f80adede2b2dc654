vllm serve Qwen/Qwen3-Embedding-0.6B \
  --host 0.0.0.0 --port 8000 \
  --max-model-len 4096 \
  --gpu-memory-utilization 0.05 \
  --runner pooling \
  --tensor-parallel-size 1
