"""What a container gets of its host: the operator's folders, host files that flags name, mounts, caches."""
