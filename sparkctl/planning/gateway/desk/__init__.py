"""The desk of the gateway: which request is served, waits or is refused, and which services come and go. Pure."""
