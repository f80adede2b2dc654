"""What an engine takes in addition to weights and cache, measured on two kinds of GPU; a host profile chooses one.

The figures for a GB10 come from starts that others logged (tests/golden/size/gb10.yaml has those with a cache, and
each figure names its source). The figures for an H200 are this project's own.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sparkctl.base.units import GIB, MIB
from sparkctl.memory.constants import Figure


class Overheads(NamedTuple):
    """The figures of one kind of GPU, in bytes.

    ``context`` is the driver's context with the libraries' code, ``workspace`` what kernels and PyTorch's allocator
    keep. ``transient`` is what a start takes in addition; ``transient_share`` of the weights is a part of it, in the
    middle. ``graphs_estimated``: vLLM subtracts this estimate for graphs from a cache that a fraction sizes, before it
    captures them. ``profiled`` is the error of vLLM's own profile of a start, which makes such a cache smaller.

    With several ranks: ``nccl`` is what a rank has on its GPU to reach ranks on other hosts, ``nccl_inside`` to reach
    those on its own host; ``core`` is the engine's process, which then has no GPU, ``worker`` the process of one rank,
    and ``launcher`` that of ``vllm serve`` on a host without the API server.
    """

    context: Figure
    workspace: Figure
    drafts: Figure
    api_server: Figure
    engine: Figure
    towers: Figure
    growth: Figure
    growth_pooling: Figure
    transient: Figure
    transient_eager: Figure
    transient_share: float
    graphs_spread: int
    graphs_estimated: Figure
    profiled: Figure
    beyond_fraction: Figure
    nccl: Figure
    nccl_inside: Figure
    core: Figure
    worker: Figure
    launcher: Figure


_TOWERS: Final = "of images and sound, in the API server: 2.95 to 3.8 GiB resident on a GB10 (logs of Qwen3.8-27B)"

_NCCL: Final = Figure(
    3 * GIB,
    "two GB10s: 5.72 GiB that are not PyTorch's on a rank (a public log of DeepSeek V4 Flash), about 2.5 on one",
    2 * GIB,
)
_ENGINE: Final = Figure(
    1850 * MIB,
    "a GB10: 1.8 GiB resident (vllm#54200), 3.5 of a container with both processes (RyderFreeman4Logos/"
    "gb10-services), 3.5 "
    "of an engine alone at most",
    1000 * MIB,
)
_LAUNCHER: Final = "vLLM 0.20.2 on a host of two H200s: 0.66 to 0.70 GiB of the host without the API server"

GB10: Final = Overheads(
    context=Figure(
        GIB,
        "a GB10 by NVML, beside weights, cache and graphs: 1.45 GiB of Qwen3-Embedding-8B (RyderFreeman4Logos/"
        "gb10-services), 2.0 and 2.95 of larger batches; with the workspaces",
        600 * MIB,
    ),
    workspace=Figure(512 * MIB, "a GB10: the rest of the same", 400 * MIB),
    drafts=Figure(
        600 * MIB,
        "a GB10: graphs of DFlash with 64 to 128 sequences take 1.25 to 1.73 GiB, with few 0.02 to 0.68 "
        "(AEON-7/vllm-ultimate-dgx-spark#9, styles01/sparkrun-recipes)",
        700 * MIB,
    ),
    api_server=Figure(1200 * MIB, "1.0 GiB resident on an H200's host, 2.95 to 3.8 with towers on a GB10", 600 * MIB),
    engine=_ENGINE,
    towers=Figure(GIB, _TOWERS, 2048 * MIB),
    growth=Figure(
        1536 * MIB,
        "a GB10: of 21 servers under load, each at its peak, the host held 5.5 to 13.9 GiB more than their fraction, "
        "10.2 in the middle; of it about 5.3 are the system's, and the rest is the processes' and this "
        "(djangodevreng/dgx-spark-benchmarks, 01-telemetry.csv)",
        2200 * MIB,
    ),
    growth_pooling=Figure(512 * MIB, "as a server that generates, with no answers to keep; not measured", 700 * MIB),
    transient=Figure(
        1536 * MIB,
        "a GB10: 14.8 GiB more than serving for a Qwen3-Coder-Next in NVFP4 (steveant/aeo-vllm-gb10), 12.8 for "
        "a 27B with DFlash (RyderFreeman4Logos/gb10-services), 29 for 26B-A4B in 16 bits (vllm#46307)",
        1536 * MIB,
    ),
    transient_eager=Figure(GIB, "loading without compilation; not measured on a GB10", GIB),
    transient_share=0.25,
    graphs_spread=700 * MIB,
    graphs_estimated=Figure(
        GIB,
        "a GB10: 0.37 to 2.44 GiB (djangodevreng/dgx-spark-benchmarks, jethac/dgx-spark-hijinks)",
        GIB,
    ),
    profiled=Figure(
        0,
        "a GB10: one image and its flags gave caches of 8.93 to 12.17 GiB in six cold starts (steveant/aeo-vllm-gb10): "
        "vLLM's profile takes every change of MemAvailable for its own",
        4608 * MIB,
    ),
    beyond_fraction=Figure(0, "a GB10: what the starts held beyond their fraction is in the growth", 512 * MIB),
    nccl=_NCCL,
    nccl_inside=_NCCL,
    core=_ENGINE,
    worker=_ENGINE,
    launcher=Figure(720 * MIB, f"{_LAUNCHER}; not measured on a GB10", 500 * MIB),
)

H200: Final = Overheads(
    context=Figure(
        760 * MIB,
        "vLLM 0.20.2 on an H200: 0.51 GiB at vLLM's check, then 0.22 to 0.24 that are not PyTorch's",
        100 * MIB,
    ),
    workspace=Figure(
        430 * MIB,
        "vLLM 0.20.2 on an H200: the rest of what EngineCore holds: 0.36 GiB (Qwen3-8B), 0.40 and 0.74 (E4B, E2B)",
        400 * MIB,
    ),
    drafts=GB10.drafts,
    api_server=Figure(GIB, "vLLM 0.20.2 on an H200's host: 1.0 GiB resident", 256 * MIB),
    engine=Figure(
        1100 * MIB,
        "vLLM 0.20.2 on an H200's host: both processes have 1.80 to 2.48 GiB; 1.5 to 3.2 were seen",
        700 * MIB,
    ),
    towers=Figure(512 * MIB, "vLLM 0.20.2 on an H200's host: not measured by itself", 512 * MIB),
    growth=Figure(256 * MIB, "vLLM 0.20.2 on an H200: 0.38 GiB after long prompts, activations among it", 512 * MIB),
    growth_pooling=Figure(128 * MIB, "as a server that generates; not measured", 256 * MIB),
    transient=Figure(
        512 * MIB, "vLLM 0.20.2 on an H200: MemAvailable fell by 0.1 to 0.6 GiB more than the processes held", GIB
    ),
    transient_eager=Figure(256 * MIB, "vLLM 0.20.2 on an H200: nothing was seen", 512 * MIB),
    transient_share=0.0,
    graphs_spread=150 * MIB,
    graphs_estimated=Figure(500 * MIB, "vLLM 0.20.2 on an H200: 0.46 and 0.49 GiB", 100 * MIB),
    profiled=Figure(
        -930 * MIB,
        "vLLM 0.20.2 on an H200: its profile leaves out the context of 0.51 GiB and what it takes later",
        512 * MIB,
    ),
    beyond_fraction=Figure(
        870 * MIB,
        "vLLM 0.20.2 on an H200: at a fraction of 83.88 GiB EngineCore ended at 84.05 to 85.57 GiB",
        900 * MIB,
    ),
    nccl=Figure(
        480 * MIB,
        "vLLM 0.20.2 on two H200s by sockets: 0.97 GiB at vLLM's check, 0.51 of one rank; a pipeline's "
        "ranks took 0.17 to 0.24 with their first prompt",
        250 * MIB,
    ),
    nccl_inside=Figure(
        1460 * MIB,
        "vLLM 0.20.2 on two H200s of one host: 0.96 GiB more than by sockets, for 24 channels by NVLink",
        500 * MIB,
    ),
    core=Figure(760 * MIB, "vLLM 0.20.2 on a host of two H200s: 0.67 to 0.75 GiB", 150 * MIB),
    worker=Figure(
        1780 * MIB,
        "vLLM 0.20.2 on a host of two H200s: 1.39 to 1.95 GiB, of which 0.1 to 0.23 are NCCL's pinned buffers",
        350 * MIB,
    ),
    launcher=Figure(720 * MIB, _LAUNCHER, 150 * MIB),
)


def overheads_of(card: str) -> Overheads:
    """Return the figures of a kind of GPU: a GB10's own, and the H200's for every card with its own memory."""
    return GB10 if card == "gb10" else H200
