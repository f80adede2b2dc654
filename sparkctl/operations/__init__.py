"""The use cases of sparkctl, over the ports and without a command line."""
