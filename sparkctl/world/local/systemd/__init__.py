"""The service manager: what it is told of a process, and how it is asked."""
