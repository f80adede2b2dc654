"""Use cases of what comes from other tools and goes to them."""
