"""How much memory a service takes: geometry, KV cache, weights, footprint, pool. Pure."""

from __future__ import annotations
