"""What is started, in which order, and why not: pure decisions over footprints and the pool."""
