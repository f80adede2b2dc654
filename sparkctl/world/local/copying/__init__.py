"""The files of models on this host, copied to and from other hosts."""
