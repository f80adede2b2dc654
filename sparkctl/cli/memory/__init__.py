"""Commands about what fits."""
