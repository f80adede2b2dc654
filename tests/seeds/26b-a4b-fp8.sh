# The article's command with the vanilla body, "the same configuration" without drafting
vllm serve RedHatAI/gemma-4-26B-A4B-it-FP8-Dynamic \
  --kv-cache-dtype fp8 \
  --gpu-memory-utilization 0.65 \
  --max-model-len 8192 \
  --enable-auto-tool-choice --tool-call-parser gemma4 \
  --trust-remote-code
