vllm serve poolside/Laguna-XS-2.1 \
  --trust-remote-code \
  --max-model-len 262144 \
  --enable-auto-tool-choice --tool-call-parser poolside_v1 \
  --reasoning-parser poolside_v1
