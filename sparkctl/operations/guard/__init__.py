"""The guard: a process of its own that ends a service before the host runs out of memory.

What its process is made of is in ``alone``; the rest is what commands and agent tell it and ask of it.
"""
