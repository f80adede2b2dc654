vllm serve Qwen/Qwen3-32B-FP8 \
  --download-dir /root/.cache/huggingface \
  --max-model-len 32000 \
  --gpu-memory-utilization 0.90 \
  --max-num-batched-tokens 16384 \
  --max-num-seqs 64 \
  --enable-prefix-caching \
  --trust-remote-code \
  --enable-auto-tool-choice --tool-call-parser hermes
