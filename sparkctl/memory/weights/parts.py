"""The modules of a model, one entry for each kind."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """Modules of one name: ``name`` has * for the layer's number, and ``parameters`` counts those of one of ``count``.

    ``linear``: a layer that can be quantized (LinearBase and experts). ``rank`` is how many numbers a LoRA adapter of
    rank 1 has for one module, 0 if it can have no adapter; ``shared_rank`` is the same if experts share their adapters.
    ``padded`` counts the parameters of experts in MXFP4 as Marlin pads them; 0 if nothing is padded.
    """

    component: str
    name: str
    parameters: int
    count: int = 1
    linear: bool = False
    rank: int = 0
    shared_rank: int = 0
    padded: int = 0


def lora_rank(inputs: int, *outputs: int) -> int:
    """Return the size of a rank-1 adapter for slices that share their inputs: (inputs + outputs) numbers for each."""
    return len(outputs) * inputs + sum(outputs)
