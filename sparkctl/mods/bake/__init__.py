"""Turns the changes that a community mod's script makes into an overlay mod."""
