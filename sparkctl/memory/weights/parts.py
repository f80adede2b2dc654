"""The modules of a model, each kind of them once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """Modules of one name: ``name`` has * for the layer's number, and ``parameters`` are those of one of ``count``.

    ``linear``: a layer that can be quantized (LinearBase and experts).
    """

    component: str
    name: str
    parameters: int
    count: int = 1
    linear: bool = False
