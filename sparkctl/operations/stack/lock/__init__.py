"""The lock of a stack: what is behind its names, and what is newer."""
