"""The parts of the host that a container gets: the operator's folders, files named by flags, mounts, caches."""
