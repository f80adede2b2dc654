"""The keys of the gateway's clients: kept, made, revoked, and asked for at the door."""
