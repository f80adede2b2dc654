"""Everything that depends on what a vLLM prints, answers or accepts, by release. Only ``server`` asks a server."""
