"""How fast a service writes: the rounds, the figures, the comparison."""
