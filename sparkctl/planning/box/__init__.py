"""A box that follows its declaration: what is declared and applied, the differences, and how they are settled."""
