"""The bytes of a model's weights: from safetensors headers, or from config.json alone."""
