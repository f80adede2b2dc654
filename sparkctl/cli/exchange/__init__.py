"""The commands that exchange recipes with other tools."""
