"""The simulated engine: containers that are local processes over a pool of a DGX Spark's size."""

from __future__ import annotations
