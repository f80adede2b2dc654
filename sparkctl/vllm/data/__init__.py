"""Data files: what was read out of releases of vLLM, and what is known of them; and what reads these files."""
