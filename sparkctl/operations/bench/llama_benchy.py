"""A benchmark in the format of llama-benchy, which the DGX Spark community's tools read. Pure.

The format is eugr/llama-benchy's ``schemas/benchmark_report_schema.json``, its figures are defined in its README:
``tg`` is (tokens - 1) by the time from the first token to the end, and spreads are those of a population. Its speeds of
prompts come from a latency that it estimates beforehand; nothing is estimated here: they are null.
"""

from __future__ import annotations

import statistics
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.operations.bench.result import Bench, Level, TimedRequest

_MS: Final = 1000


def report(bench: Bench, version: str) -> dict[str, object]:
    """Return the report; ``version`` is of sparkctl, which did not run llama-benchy's own prompts."""
    return {
        "version": f"sparkctl {version}",
        "timestamp": datetime.fromtimestamp(bench.at, tz=UTC).strftime("%Y-%m-%d %H:%M:%SZ"),
        "latency_mode": "none",
        "latency_ms": 0.0,
        "model": bench.model,
        "prefix_caching_enabled": False,
        "max_concurrency": max((one.concurrency for one in bench.levels), default=0),
        "prompt_source": "sparkctl",
        "benchmarks": [_run(bench, one) for one in bench.levels if one.each],
    }


def _run(bench: Bench, level: Level) -> dict[str, object]:
    prompts = [one.prompt_tokens for one in level.each if one.prompt_tokens is not None]
    tg = _decoded(level.each)
    rounds = [
        [one for one in level.each if one.round == number] for number in sorted({one.round for one in level.each})
    ]
    several = level.concurrency > 1
    first = _metric([one.first_s * _MS for one in level.each])
    return {
        "concurrency": level.concurrency,
        "context_size": 0,
        "prompt_size": round(statistics.fmean(prompts)) if prompts else 0,
        "response_size": bench.max_tokens,
        "is_context_prefill_phase": False,
        "pp_throughput": None,
        "pp_req_throughput": None,
        "tg_throughput": _metric(list(_decoded_together(rounds))) if several else _metric(tg),
        "tg_req_throughput": _metric(tg) if several else None,
        "ttfr": first,
        "est_ppt": None,
        "e2e_ttft": first,
    }


def _decoded(each: Sequence[TimedRequest]) -> list[float]:
    return [(one.tokens - 1) / (one.seconds - one.first_s) for one in each if one.seconds > one.first_s]


def _decoded_together(rounds: Sequence[Sequence[TimedRequest]]) -> Iterator[float]:
    for each in rounds:
        seconds = max(one.started_s + one.seconds for one in each) - min(one.started_s + one.first_s for one in each)
        if seconds > 0:
            yield sum(one.tokens - 1 for one in each) / seconds


def _metric(values: Sequence[float]) -> dict[str, object] | None:
    if not values:
        return None
    return {"mean": statistics.fmean(values), "std": statistics.pstdev(values), "values": list(values)}
