"""From services to the files that another tool starts the same containers with: a writer a target. Pure."""
