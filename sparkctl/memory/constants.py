"""Every figure that is not computed from a model's own numbers, with its source.

They are estimates for a GB10: most were measured on another GPU (vLLM 0.20.2 on an H200, Gemma 4 in its true shapes
with random weights, attention TRITON_ATTN as on a GB10), and each is rounded up rather than down.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sparkctl.base.units import GIB, MIB


class Figure(NamedTuple):
    """A number of bytes in the middle of the observed values, its source, and by how much it may be larger."""

    size: int
    source: str
    spread: int


SAMPLER_COPIES: Final = 4
SAMPLER_SOURCE: Final = (
    "vLLM 0.20.2 on an H200: E4B held 1.4 GiB beside weights and cache with 16 sequences, 2.2 with 256 and 5.6 "
    "with 1,024, where one copy is 1 MiB a sequence"
)
FAST_SAFETENSORS: Final = Figure(
    14 * GIB,
    "fastsafetensors before 0.27 on a GB10: three starts logged 16.8 to 18.0 GiB beside weights and cache",
    GIB,
)
ENCODER: Final = Figure(
    154 * MIB,
    "vLLM 0.20.2 on an H200: the towers of E2B and 26B-A4B raise the activation peak by 0.11 to 0.15 GiB",
    100 * MIB,
)
BEYOND_TENSORS: Final = Figure(
    256 * MIB,
    "repacking and buffers: 7.40 -> 7.43 and 18.01 -> 18.21 GiB (djangodevreng/dgx-spark-benchmarks)",
    230 * MIB,
)
REPACKED: Final = Figure(
    205 * MIB,
    "Marlin's repacking of 4-bit weights: 18.01 -> 18.21 GiB, Nemotron-3-Nano-30B in NVFP4 on a GB10 (djangodevreng/"
    "dgx-spark-benchmarks)",
    205 * MIB,
)
HOST_CPU: Final = Figure(
    1600 * MIB, "vLLM 0.32.0's CPU build with a two-layer Llama: its three processes are 1.55 GiB resident", 160 * MIB
)
TRANSIENT_EAGER: Final = Figure(
    2 * GIB,
    "loading without compilation: kernels are still compiled when first used; not measured on a GB10",
    2 * GIB,
)
TRANSIENT_CPU: Final = Figure(
    512 * MIB, "vLLM 0.32.0's CPU build without compilation: no transient was seen", 512 * MIB
)
BEFORE_THE_CHECK: Final = Figure(
    2765 * MIB, "a GB10: 113.69 GiB free at vLLM's check of 116.43 available, 29.83 of 32.40 (llamastash#81)", 140 * MIB
)
BEFORE_THE_CHECK_OWN: Final = Figure(
    523 * MIB,
    "vLLM 0.20.2 on an H200: 139.29 GiB free of 139.80 at its check, in every start",
    50 * MIB,
)
"""The same for a card with its own memory."""
MAX_FRACTION: Final = 0.95
"""The largest gpu-memory-utilization that is written: fractions of several engines must sum to less (devashish.me)."""
