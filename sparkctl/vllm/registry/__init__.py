"""What each release of vLLM has classes and parsers for, and which of them go with a model."""
