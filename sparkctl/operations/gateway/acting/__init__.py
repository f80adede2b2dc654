"""What the desk wants done, done; and what it is told."""
