"""Equal services on several hosts: which one gets a request, and the names by which they are asked for. Pure."""
