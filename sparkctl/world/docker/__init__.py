"""The port of the engine, by Docker's own SDK."""
