"""The gateway, as values: which request goes where, and which service runs for it. Pure."""
