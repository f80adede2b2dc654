"""Every figure that is not computed from a model's own numbers, with where it comes from.

They are estimates for a GB10: most were measured on another GPU (vLLM 0.20.2 on an H200, Gemma 4 in its true shapes
with random weights, attention TRITON_ATTN as on a GB10), and each is rounded so that it counts rather too much.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sparkctl.base.units import GIB, MIB


class Figure(NamedTuple):
    """A number of bytes in the middle of what was seen, its source, and by how much more it was or may be."""

    size: int
    source: str
    spread: int


CUDA_CONTEXT: Final = Figure(
    1800 * MIB,
    "vLLM 0.20.2 on an H200: GPU bytes of EngineCore beside weights, KV cache and activations, 0.4 to 1.8 GiB",
    1400 * MIB,
)
SAMPLER_FLOOR: Final = Figure(
    GIB, "vLLM 0.20.2 on an H200: Gemma 4's activation peak is 0.98 GiB with 16 sequences and 1.05 with 256", 240 * MIB
)
SAMPLER_COPIES: Final = 4
"""Copies of sequences x vocabulary x 4 bytes in the sampler's dummy run: vLLM 0.20.2 on an H200, E4B with 1,024
sequences peaks at 3.71 GiB where one copy is 1 GiB."""
GRAPHS: Final = Figure(
    512 * MIB,
    "vLLM 0.20.2 on an H200: E4B 0.47 GiB, 26B-A4B 0.38; on a GB10 0.03 and 0.10 GiB (djangodevreng/"
    "dgx-spark-benchmarks)",
    490 * MIB,
)
GRAPHS_DRAFTING: Final = Figure(512 * MIB, "as much again for the draft model's graphs; not measured", 512 * MIB)
ENCODER: Final = Figure(
    154 * MIB,
    "vLLM 0.20.2 on an H200: the towers of E2B and 26B-A4B raise the activation peak by 0.11 to 0.15 GiB",
    41 * MIB,
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
BEYOND_FRACTION: Final = Figure(
    1740 * MIB, "vLLM 0.20.2 on an H200: at a fraction of 83.88 GiB EngineCore ended at 84.05 to 85.57 GiB", 1566 * MIB
)
HOST: Final = Figure(
    3482 * MIB, "vLLM 0.20.2 on an H200: a start takes 1.8 to 3.4 GiB of MemAvailable for its processes", 1640 * MIB
)
HOST_CPU: Final = Figure(
    1600 * MIB, "vLLM 0.32.0's CPU build with a two-layer Llama: its three processes are 1.55 GiB resident", 160 * MIB
)
TRANSIENT: Final = Figure(
    8 * GIB,
    "compiling and autotuning: a Qwen3-Coder-Next in NVFP4 took 80.79 GiB of a GB10 at its peak and 66.0 serving "
    "(steveant/aeo-vllm-gb10); with cold caches up to 30 GiB were seen (eugr/spark-vllm-docker#286), and the reserve "
    "has to cover what is beyond the most that is counted here",
    7 * GIB,
)
TRANSIENT_EAGER: Final = Figure(
    2 * GIB,
    "loading without compilation: kernels are still compiled when first used; not measured on a GB10",
    2 * GIB,
)
TRANSIENT_CPU: Final = Figure(
    512 * MIB, "vLLM 0.32.0's CPU build without compilation: no transient was seen", 512 * MIB
)
API_SERVER: Final = Figure(GIB, "vLLM 0.20.2 on an H200: the API server is 1.0 GiB resident", 512 * MIB)
BEFORE_THE_CHECK: Final = Figure(
    2765 * MIB, "a GB10: 113.69 GiB free at vLLM's check of 116.43 available, 29.83 of 32.40 (llamastash#81)", 140 * MIB
)
BEFORE_THE_CHECK_OWN: Final = Figure(
    523 * MIB,
    "vLLM 0.20.2 on an H200: 139.29 GiB free of 139.80 at its check, in every start",
    50 * MIB,
)
"""The same on a card with its own memory."""
MAX_FRACTION: Final = 0.95
"""The largest gpu-memory-utilization that is emitted: fractions of several engines must sum to less (devashish.me)."""
