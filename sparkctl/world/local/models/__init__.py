"""Models: on the hub, in its cache, and in folders of this host."""
