"""The modules of a model, each kind of them once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """Modules of one name: ``name`` has * for the layer's number, and ``parameters`` are those of one of ``count``.

    ``linear``: a layer that can be quantized (LinearBase and experts). ``rank`` is how many numbers a LoRA adapter of
    rank 1 has for one of them, 0 where it can have none; ``shared_rank`` the same where experts share their adapters.
    ``padded`` are the parameters of experts in MXFP4, as Marlin pads them; 0 where nothing is padded.
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
    """Return the numbers that an adapter of rank 1 has for slices that share their inputs: (inputs + outputs) each."""
    return len(outputs) * inputs + sum(outputs)
