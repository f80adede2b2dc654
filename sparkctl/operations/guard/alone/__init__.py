"""The guard's process: modules that import each other and the standard library alone, and of that what is small.

It is locked in memory. ``typing``, ``dataclasses``, ``pathlib`` and ``json`` take 1 to 3 MiB each, and are not used.
"""
