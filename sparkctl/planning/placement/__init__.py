"""Which host runs what: services, and ranks of one service, placed over several hosts. Pure."""
