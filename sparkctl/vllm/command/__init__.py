"""How vLLM reads a command line: the names of flags, and what their values may be."""
