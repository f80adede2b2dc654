"""The folders that jobs make models in, on this machine's disk."""
