# The article's command with the vanilla body and its part 27's four drafted tokens
vllm serve RedHatAI/gemma-4-26B-A4B-it-FP8-Dynamic \
  --speculative-config '{"method":"mtp","model":"google/gemma-4-26B-A4B-it-assistant","num_speculative_tokens":4}' \
  --kv-cache-dtype fp8 \
  --gpu-memory-utilization 0.65 \
  --max-model-len 8192 \
  --enable-auto-tool-choice --tool-call-parser gemma4 \
  --trust-remote-code
