"""Equal services on several hosts: which of them gets a request, and under which names they are asked for. Pure."""
