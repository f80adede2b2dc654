"""The gateway, as values: where each request goes, and which services run for it. Pure."""
