"""The guard: a process of its own that ends a service before the host runs out of memory.

What its process imports (``alone`` names it) is of this folder and of the standard library alone, and no ``typing``: it
stays small enough to be locked in memory. The rest is what the other commands ask of it.
"""
