"""What sparkctl does: each use case over the ports, without a command line."""
