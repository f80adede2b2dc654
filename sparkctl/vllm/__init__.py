"""All that depends on what a vLLM prints, answers or accepts, by release. Nothing here asks a server but ``server``."""
