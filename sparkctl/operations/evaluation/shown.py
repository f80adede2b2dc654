"""A comparison in words: as the rows of a table, as sentences, and as Markdown to share. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sparkctl.operations.bench.result import markdown_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.operations.evaluation.kept import Evaluated
    from sparkctl.operations.evaluation.retention import Comparison, Retained

HISTORY: Final = ("when", "suite", "reference", "service", "kept", "verdict")
_SMALL: Final = 0.001


def headers(found: Comparison) -> list[str]:
    """Return the heads of the table."""
    own = ["metric", found.reference, found.other, "kept", "95 %", "lost", "won", "of", "p"]
    more = {"floor": any(row.floor is not None for row in found.rows)}
    more |= {"kept before": any(row.expected is not None for row in found.rows)}
    return [*own, *(name for name, there in more.items() if there)]


def rows(found: Comparison) -> list[list[str]]:
    """Return the rows of the table."""
    heads = headers(found)
    return [list(_row(row, heads)) for row in found.rows]


def _row(row: Retained, heads: Sequence[str]) -> Iterator[str]:
    yield from (row.name, percent(row.reference), percent(row.other), percent(row.kept))
    yield "?" if row.low is None or row.high is None else f"{100 * row.low:.1f} to {100 * row.high:.1f}"
    yield from (str(row.lost), str(row.won), str(row.questions))
    yield f"< {_SMALL}" if row.p < _SMALL else f"{row.p:.3f}"
    if "floor" in heads:
        yield "-" if row.floor is None else percent(row.floor)
    if "kept before" in heads:
        yield "-" if row.expected is None else percent(row.expected)


def percent(share: float | None) -> str:
    """Return a share in per cent, "?" where it is not known."""
    return "?" if share is None else f"{100 * share:.1f} %"


def verdict(found: Comparison) -> str:
    """Return what comes of a comparison, in a word or two."""
    if found.void:
        return "void"
    return f"below {len(found.below)} of {len(found.rows)}" if found.below else "passed"


def sentences(found: Comparison) -> Iterator[str]:
    """Yield what is to be said of a comparison beside its table."""
    if found.average is not None:
        count = sum(row.kept is not None for row in found.rows)
        yield f"on average {percent(found.average)} kept{f', the mean of {count} ratios' if count > 1 else ''}"
    expected = [row.expected for row in found.rows if row.expected is not None]
    if expected:
        yield f"expected by the suite's source: {percent(sum(expected) / len(expected))} on average"
    noise = [row.name for row in found.rows if row.noise and (row.lost or row.won)]
    if noise:
        yield f"may be chance, as the interval holds 100 %: {', '.join(noise)}"


def failure(found: Comparison) -> str | None:
    """Return why a comparison does not pass, None: it does."""
    if found.void:
        lines = [f"the comparison of {found.other} with {found.reference} is void:", *found.void]
        return "\n  ".join(lines)
    if not found.below:
        return None
    lost = ", ".join(f"{row.name} {percent(row.kept)} (floor {percent(row.floor)})" for row in found.below)
    return f"{found.other} keeps less of {found.reference} than the suite {found.suite} wants: {lost}"


def markdown(found: Evaluated) -> str:
    """Return a comparison as Markdown."""
    one = found.compared
    day = datetime.fromtimestamp(found.at, tz=UTC).strftime("%Y-%m-%d")
    run = f"suite {one.suite}, lm-eval {found.lm_eval}, {day}"
    lines = [f"**{one.other}** against **{one.reference}**: {verdict(one)} ({run})"]
    lines += ["", *markdown_table(headers(one), rows(one)), ""]
    said = [*sentences(one), *found.notes, *one.void]
    said.append("95 %: Bonett and Price's interval of a ratio of paired proportions; p: McNemar's exact test")
    return "\n".join([*lines, *(f"- {text}" for text in said), ""])


def history(found: Sequence[Evaluated]) -> list[list[str]]:
    """Return what was compared, a row for each."""
    return [
        [
            datetime.fromtimestamp(one.at, tz=UTC).strftime("%Y-%m-%d %H:%M"),
            one.compared.suite,
            one.compared.reference,
            one.compared.other,
            percent(one.compared.average),
            verdict(one.compared),
        ]
        for one in found
    ]
