"""Code that runs on the other host during a command: it needs only Python's standard library, and is sent over ssh."""
