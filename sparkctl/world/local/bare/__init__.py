"""A host with the standard library alone: what is sent to other hosts."""
