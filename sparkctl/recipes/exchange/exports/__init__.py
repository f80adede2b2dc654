"""From services to the files with which another tool starts the same containers: a writer for each target. Pure."""
