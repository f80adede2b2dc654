"""What runs on the other host for the life of a command: the standard library of its Python alone, sent over ssh."""
