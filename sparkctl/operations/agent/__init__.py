"""The agent: one resident process that keeps the applied stack running."""
