"""What a model takes, for a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sparkctl.memory.pace.roofline_share import Speed
    from sparkctl.operations.memory.size import Size


def row(size: Size) -> dict[str, object]:
    """Return what a model takes as docs/json.md has it."""
    subject, taken = size.model, size.footprint
    cache, weights = taken.kv, taken.loaded
    return {
        "model": subject.name,
        "vllm": str(subject.version.version),
        "weights": {
            "bytes": weights.bytes,
            "checkpoint_bytes": weights.checkpoint_bytes,
            "by_component": dict(weights.by_component),
            "by_dtype": dict(weights.by_dtype),
            "skipped": dict(weights.skipped),
            "source": weights.source,
            "estimated": weights.estimated,
        },
        "kv_cache": {
            "dtype": subject.settings.kv.dtype,
            "bytes": taken.kv_bytes,
            "least_bytes": taken.kv_least_bytes,
            "bytes_per_block": cache.bytes_per_block,
            "groups": [
                {
                    "kind": str(group.kind),
                    "layers": group.layers,
                    "block_size": group.block_size,
                    "page_bytes": group.page_bytes,
                    "blocks_per_request": group.blocks_per_request,
                }
                for group in cache.groups
            ],
            "context": cache.context,
            "blocks_per_request": cache.blocks_per_request,
            "bytes_per_request": cache.bytes_per_request,
            "num_blocks": cache.blocks_in(taken.kv_bytes),
            "tokens": cache.tokens(taken.kv_bytes),
            "max_concurrency": round(cache.concurrency(taken.kv_bytes), 2),
            "largest_context": size.longest_context,
            "most_sequences": cache.sequences_in(taken.kv_bytes),
        },
        "overhead": {
            item.name: {
                "bytes": item.bytes,
                "bound_bytes": item.bound,
                "when": str(item.when),
                "where": str(item.where),
                "source": item.source,
            }
            for item in taken.overhead
        },
        "speed": _speed(size.speed),
        "gpu_bytes": taken.gpu_bytes,
        "host_bytes": taken.host_bytes,
        "steady_bytes": taken.steady_bytes,
        "bound_bytes": taken.bound_bytes,
        "peak_bytes": taken.peak_bound_bytes,
        "warnings": list(size.warnings),
    }


def _speed(speed: Speed | None) -> dict[str, object] | None:
    return (
        None
        if speed is None
        else {
            "bytes_per_token": speed.bytes_per_token,
            "roofline": round(speed.most, 2),
            "expected": round(speed.expected, 2),
            "share": round(speed.reached.share, 3),
            "kind": speed.reached.kind,
            "source": speed.reached.source,
        }
    )
