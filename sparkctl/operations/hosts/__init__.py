"""Several Sparks: the file that names them, the way to each, and what differs between them."""
