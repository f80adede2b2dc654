"""Commands that prove: checks, speed, mods, the host."""
