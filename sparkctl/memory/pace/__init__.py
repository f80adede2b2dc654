"""How fast a model writes: what a token reads, the share of the bandwidth, drafts, and several servers at once."""
