"""What is started, in which order, and why a start is refused: pure decisions over footprints and the pool."""
