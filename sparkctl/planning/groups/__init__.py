"""One service over several hosts: its state, whether its ranks meet, and when it is started again. Pure."""
