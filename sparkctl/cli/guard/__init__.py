"""The commands of the guard."""
