"""Measurements that cannot be true, or come from another machine: a file may be damaged, or somebody else's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from sparkctl.base.units import GIB, format_gib

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkctl.planning.measured import Measurement


def doubt(measurement: Measurement) -> str | None:
    """Return why a measurement cannot be true, in words, or None."""
    sizes = {
        "loaded": measurement.loaded_bytes,
        "KV cache": measurement.kv_bytes,
        "GPU": measurement.gpu_bytes,
        "host": measurement.host_bytes,
        "GPU at the peak": measurement.peak_gpu_bytes,
        "peak": measurement.peak_total_bytes,
        "available before": measurement.available_before,
        "available after": measurement.available_after,
    } | {f"predicted {share.name}": share.bytes for share in measurement.predicted}
    total = measurement.host_total_bytes
    if total <= 0 or not math.isfinite(measurement.at) or not 0 < measurement.at < _LAST_DATE:
        return "it has no host, or no date"
    for name, size in sizes.items():
        if size is not None and size < 0:
            return f"{name} is negative: {size} bytes"
        if size is not None and size > total and not name.startswith("predicted"):
            return f"{name} is {format_gib(size)}, more than the host has ({format_gib(total)})"
    against = _against_its_log(measurement)
    if against:
        return against
    bad = next((name for name, s in measurement.phases.items() if not (math.isfinite(s) and s >= 0)), None)
    return f"{bad} took {measurement.phases[bad]} seconds" if bad is not None else None


def _against_its_log(one: Measurement) -> str:
    """Return which figure of a start contradicts its own log and flags, in words; "" for none."""
    loaded, cache, held = one.loaded_bytes or 0, one.kv_bytes or 0, one.steady_bytes
    if held is not None and one.on_gpu and held < loaded + cache - _HIDDEN:
        logged = format_gib(loaded + cache)
        return f"its processes held {format_gib(held)}, and its log says {logged} of weights and cache"
    asked = dict(one.key.flags).get("kv-cache-memory-bytes", "")
    if one.kv_bytes is not None and asked.isascii() and asked.isdigit() and abs(int(asked) - cache) > GIB // 50:
        return f"its cache is {format_gib(cache)}, and its flag says {format_gib(int(asked))}"
    return ""


def elsewhere(measurement: Measurement, total_bytes: int) -> bool:
    """Return whether a start was measured on a machine of another size than this one."""
    return not same_size(measurement.host_total_bytes, total_bytes)


def same_size(one_bytes: int, other_bytes: int) -> bool:
    """Return whether two totals belong to machines of one size."""
    return abs(one_bytes - other_bytes) <= _SAME_SIZE * other_bytes


_HIDDEN: Final = 2 * GIB
"""How much of vLLM's memory NVML may not show: it rounds, and part of a context belongs to no process."""
_SAME_SIZE: Final = 0.01
"""The relative difference within which sizes are equal. A kernel or a firmware moves MemTotal by 0.1 % (121.60 to
121.69 GiB on GB10 kits, XuehaiPan/nvitop#208); the two kits that are sold differ by 1.7 %."""
_LAST_DATE: Final = 4_102_444_800.0
"""The year 2100."""


def sound(measurements: Iterable[Measurement]) -> tuple[list[Measurement], list[str]]:
    """Return the measurements that can be true, and a warning for each other one."""
    kept, warnings = [], []
    for measurement in measurements:
        why = doubt(measurement)
        if why is None:
            kept.append(measurement)
        else:
            warnings.append(f"a measurement of {measurement.service} is ignored: {why}")
    return kept, warnings
