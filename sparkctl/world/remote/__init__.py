"""Another host, reached by the operator's own ssh: one process for a command's life, and nothing installed there."""
