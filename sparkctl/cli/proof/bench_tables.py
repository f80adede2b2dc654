"""Results of benchmarks as tables to read: of one, of a sweep, of a service's history, and of two beside each other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sparkctl.operations.bench import result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.output import Output
    from sparkctl.operations.bench.result import Bench


def show(out: Output, found: Bench) -> None:
    """Print one result, and what is to be said of it."""
    out.table(result.headers(found), result.rows(found))
    chunks = max((level.tokens_per_chunk for level in found.levels), default=1.0)
    if chunks > 1.05 and found.unit == result.TOKENS:  # noqa: PLR2004
        out.result(f"between: of chunks, which hold up to {chunks:.1f} tokens each")
    if found.acceptance:
        shares = " ".join(f"{100 * share:.0f} %" for share in found.acceptance)
        out.result(f"drafts accepted by position: {shares}")
    for text in (result.beside_expected(found), result.beside_roofline(found)):
        if text:
            out.result(text)
    for note in found.notes:
        out.warn(note)


def show_sweep(out: Output, path: str, found: Sequence[tuple[str, Bench]], *, markdown: bool) -> None:
    """Print, for each value of the setting ``path``, a line at each concurrency."""
    unit = found[0][1].unit if found else result.TOKENS
    headers = [path, "at once", f"{unit} each", f"{unit} in sum", "first token", "acceptance", "position 0"]
    rows = [
        [
            value,
            str(level.concurrency),
            f"{level.per_request:.1f}" if level.requests else "?",
            f"{level.together:.1f}" if level.requests else "?",
            f"{level.first_s * 1000:.0f} ms" if level.requests else "?",
            "-" if one.acceptance_overall is None else f"{one.acceptance_overall:.0%}",
            f"{one.acceptance[0]:.0%}" if one.acceptance else "-",
        ]
        for value, one in found
        for level in one.levels
    ]
    if markdown:
        out.plain("\n".join(result.markdown_table(headers, rows)))
    elif rows:
        out.table(headers, rows)


def show_history(out: Output, found: Sequence[Bench]) -> None:
    """Print the results of a service, a line for each."""
    rows = [[_day(one), one.image, one.vllm, str(one.max_tokens), *_speeds(one)] for one in found]
    out.table(["when", "image", "vllm", "tokens", "tok/s one at a time", "most tok/s in sum"], rows)


def _day(bench: Bench) -> str:
    return datetime.fromtimestamp(bench.at, tz=UTC).strftime("%Y-%m-%d %H:%M")


def _speeds(bench: Bench) -> list[str]:
    most = max((level.together for level in bench.levels), default=0.0)
    unit = "" if bench.unit == result.TOKENS else f" {bench.unit}"
    return ["?" if bench.single is None else f"{bench.single:.1f}{unit}", f"{most:.1f}{unit}"]


def show_two(out: Output, names: Sequence[str], first: Bench, second: Bench) -> None:
    """Print two results beside each other, at each concurrency that both have."""
    levels = [(one, other) for one in first.levels for other in second.levels if one.concurrency == other.concurrency]
    rows = [
        [
            str(one.concurrency),
            f"{one.per_request:.1f}",
            f"{other.per_request:.1f}",
            f"{other.per_request / one.per_request - 1:+.0%}" if one.per_request else "?",
            f"{one.first_s * 1000:.0f} ms",
            f"{other.first_s * 1000:.0f} ms",
        ]
        for one, other in levels
    ]
    out.table(["at once", *names, "difference", "first token", "first token"], rows)
    if first.max_tokens != second.max_tokens:
        out.warn(f"not the same protocol: {first.max_tokens} and {second.max_tokens} tokens a request")
