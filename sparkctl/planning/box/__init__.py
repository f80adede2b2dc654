"""A box that keeps to its declaration: what is declared and applied, what differs, and what is done about it."""
