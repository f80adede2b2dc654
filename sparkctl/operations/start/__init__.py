"""One start: prepared, watched, proved ready, explained when it failed."""
