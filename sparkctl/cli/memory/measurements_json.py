"""A measurement for a program."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sparkctl.planning.measured import figures, findings

if TYPE_CHECKING:
    from sparkctl.planning.measured import Measurement


def row(one: Measurement) -> dict[str, object]:
    """Return a measurement as docs/json.md has it."""
    compared = figures(one)
    names = [f"{figure.name.lower().replace(' cache', '').replace(' ', '_')}_bytes" for figure in compared]
    return {
        "service": one.service,
        "recipe": one.recipe,
        "model": one.key.model,
        "revision": one.key.revision,
        "image": one.key.image_digest,
        "vllm": one.vllm,
        "at": datetime.fromtimestamp(one.at, tz=UTC).isoformat(timespec="seconds"),
        "flags": dict(one.key.flags),
        "measured": {
            **{name: figure.measured for name, figure in zip(names, compared, strict=True)},
            "kv_tokens": one.kv_tokens,
            "graphs_bytes": one.graphs_bytes,
            "peak_activation_bytes": one.peak_activation_bytes,
            "peak_gpu_bytes": one.peak_gpu_bytes,
            "high_bytes": one.high_bytes,
        },
        "predicted": {name: figure.predicted for name, figure in zip(names, compared, strict=True)},
        "error": {name: figure.error for name, figure in zip(names, compared, strict=True)},
        "phases": dict(one.phases),
        "findings": findings(one),
    }
