"""A start of E4B as it could have been measured, to be changed by the tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sparkctl.base.units import GIB
from sparkctl.planning.measured import Key, Measurement, Share

KEY = Key("sha256:e4b", "google/gemma-4-E4B-it", "", (("kv-cache-dtype", "fp8"), ("max-model-len", "16384")))
PREDICTED = (
    Share("weights", 10 * GIB),
    Share("KV cache", 2 * GIB),
    Share("sampler", GIB),
    Share("CUDA context", 2 * GIB),
    Share("host processes", 3 * GIB, on_gpu=False),
    Share("while it starts", 8 * GIB, steady=False, on_gpu=False),
)
ON_CPU = tuple(share._replace(on_gpu=False) for share in PREDICTED)
AT = 1_795_200_000.0  # 2026-11-20
MEASURED = Measurement(
    key=KEY,
    service="e4b",
    recipe="e4b-fp8",
    at=AT,
    host_total_bytes=120 * GIB,
    predicted=PREDICTED,
    vllm="0.20.2",
    loaded_bytes=10 * GIB,
    kv_bytes=2 * GIB,
    kv_tokens=65536,
    gpu_bytes=15 * GIB,
    host_bytes=3 * GIB,
    peak_gpu_bytes=15 * GIB,
    peak_total_bytes=20 * GIB,
    available_before=110 * GIB,
    available_after=92 * GIB,
    phases={"starting": 20.0, "loading weights": 40.0},
)


def measured(**changes: Any) -> Measurement:  # noqa: ANN401  (any field)
    """Return the start with some of its fields changed."""
    return replace(MEASURED, **changes)
