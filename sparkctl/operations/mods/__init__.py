"""What is done with mods: made, pinned, fetched, verified."""
