"""The other ports, on this machine: files, memory and GPUs, HTTP, locks, the store, the network."""
