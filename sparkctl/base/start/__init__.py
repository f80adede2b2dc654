"""What keeps the start of a command short: it makes the classes and patterns of all modules that it imports."""
