"""One service over several hosts: how it is, whether its ranks meet, and when it is started again. Pure."""
