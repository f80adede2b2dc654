"""The results of a benchmark: statistics over streamed completions, and comparisons. Pure.

The protocol is that of ai-muninn's DGX Spark series: one warm-up, three rounds of 500 tokens one at a time, then three
in parallel. A request's tokens per second are its tokens by its whole time, as there.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping  # noqa: TC003  (a field's type)
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.vllm.streams import Completion

TOKENS: Final = "tok/s"
GB10_BANDWIDTH: Final = 273_000_000_000
"""Bytes a second: NVIDIA's data sheet of the DGX Spark."""
PERCENTILES: Final = (50, 90, 99)
BUNCHED: Final = (
    "chunks were read in bunches, as on a host that is busy: first tokens and times between chunks are later than sent"
)
_BUNCHED: Final = 0.2
"""Where half of the gaps between chunks are shorter than this share of the mean, they came together (an estimate)."""
AGREES: Final = 0.01
"""How far the server's own counters may be from what was counted, as a share."""


@dataclass(frozen=True, slots=True)
class TimedRequest:
    """One request that ended in order. ``started_s`` is since its round's first; ``prompt_tokens`` None: not said."""

    round: int
    tokens: int
    prompt_tokens: int | None
    started_s: float
    first_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Level:
    """The results at one concurrency, over its rounds. Speeds are in tokens per second, times in seconds.

    ``per_request`` and ``together`` are means over requests and over rounds, the spreads their standard deviations;
    ``between_s`` are percentiles of the time between two chunks, which hold ``tokens_per_chunk`` tokens each; ``each``
    are the requests that the figures are of.
    """

    concurrency: int
    requests: int
    tokens: int
    per_request: float
    per_request_spread: float
    together: float
    together_spread: float
    first_s: float
    first_spread_s: float
    between_s: dict[str, float] = field(default_factory=dict)
    tokens_per_chunk: float = 1.0
    counted: bool = True
    problems: tuple[str, ...] = ()
    each: tuple[TimedRequest, ...] = ()


@dataclass(frozen=True, slots=True)
class Bench:
    """A benchmark of one service: when (UTC, seconds since the epoch), its subject, and its levels.

    ``unit`` is what ``tokens`` of a level are, by the second: tokens, or texts of a server that embeds or ranks.
    ``acceptance`` is by position; ``roofline`` is the most that one reader could have (None: not known), at
    ``bandwidth`` bytes a second (of results that were kept before it was, a GB10's); ``predicted`` is what others
    reached with this kind of weights. ``host`` is the host of hosts.yaml that it was measured on through ssh, "": this
    machine.
    """

    service: str
    recipe: str
    model: str
    image: str
    vllm: str
    at: float
    max_tokens: int
    rounds: int
    levels: tuple[Level, ...]
    acceptance: tuple[float, ...] = ()
    acceptance_overall: float | None = None
    roofline: float | None = None
    predicted: float | None = None
    expected: float | None = None
    expected_source: str = ""
    flags: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unit: str = TOKENS
    bandwidth: int = GB10_BANDWIDTH
    host: str = ""

    @property
    def prompt_tokens(self) -> float | None:
        """How long the prompts were, in tokens by the server's count; None where it did not say."""
        said = [each.prompt_tokens for one in self.levels for each in one.each if each.prompt_tokens is not None]
        return statistics.fmean(said) if said else None

    @property
    def single(self) -> float | None:
        """The speed of one request at a time, None where that was not measured."""
        return next((level.per_request for level in self.levels if level.concurrency == 1 and level.requests), None)


def bunched(one: Level) -> bool:
    """Return whether chunks were read several at once: what was between them is then not known."""
    gaps = [(each.seconds - each.first_s) / (each.tokens / one.tokens_per_chunk) for each in one.each if each.tokens]
    usual = one.between_s.get("p50")
    return usual is not None and bool(gaps) and usual < _BUNCHED * statistics.fmean(gaps)


def level(concurrency: int, rounds: Sequence[Sequence[Completion]]) -> Level:
    """Return the statistics of rounds of as many requests at once; requests that failed count as problems alone."""
    good = [[one for one in each if not one.problem] for each in rounds]
    every = [one for each in good for one in each]
    speeds = [one.per_second for one in every]
    # From the first request's start to the last one's end: what the server wrote in that time.
    sums = [_together(each) for each in good if each]
    firsts = [one.first_s for one in every if one.first_s is not None]
    gaps = [later - earlier for one in every for earlier, later in zip(one.times_s, one.times_s[1:], strict=False)]
    chunks = sum(len(one.times_s) for one in every)
    tokens = sum(one.tokens for one in every)
    return Level(
        concurrency=concurrency,
        requests=len(every),
        tokens=tokens,
        per_request=_mean(speeds),
        per_request_spread=_spread(speeds),
        together=_mean(sums),
        together_spread=_spread(sums),
        first_s=_mean(firsts),
        first_spread_s=_spread(firsts),
        between_s={f"p{share}": percentile(gaps, share) for share in PERCENTILES} if gaps else {},
        tokens_per_chunk=tokens / chunks if chunks else 1.0,
        counted=all(one.counted for one in every),
        problems=tuple(dict.fromkeys(one.problem for each in rounds for one in each if one.problem)),
        each=tuple(_requests(good)),
    )


def _requests(rounds: Sequence[Sequence[Completion]]) -> Iterator[TimedRequest]:
    for number, each in enumerate(rounds):
        begin = min((one.started_s for one in each), default=0.0)
        for one in each:
            if one.first_s is not None:
                waited = one.started_s - begin
                yield TimedRequest(number, one.tokens, one.prompt_tokens, waited, one.first_s, one.seconds)


def _together(each: Sequence[Completion]) -> float:
    seconds = max(one.ended_s for one in each) - min(one.started_s for one in each)
    return sum(one.tokens for one in each) / seconds if seconds > 0 else 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that as many percent of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share / 100 * len(ordered)) - 1)]


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else 0.0


def _spread(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def disagreement(counted: float, server: float | None) -> str:
    """Return a note where the server's counter and our count differ by more than one percent, '' where they agree."""
    if server is None:
        return "the server's own counter of tokens was not there to compare with"
    if abs(server - counted) <= AGREES * max(counted, 1):
        return ""
    more = "others were served meanwhile" if server > counted else "its counters began anew, or lag"
    return f"the server counted {server:,.0f} tokens where {counted:,.0f} came: {more}"


def beside_expected(bench: Bench) -> str:
    """Return how one request at a time stands to what the recipe's source measured, '' where nothing is expected."""
    single = bench.single
    if not bench.expected or not single:
        return ""
    difference = single / bench.expected - 1
    return f"{difference:+.0%} beside the {bench.expected:g} tok/s of {bench.expected_source}"


def beside_roofline(bench: Bench) -> str:
    """Return how much of the memory's bandwidth one request at a time reached, '' where that is not known."""
    single = bench.single
    if not bench.roofline or not single:
        return ""
    share = single / bench.roofline
    drafted = ", with drafts, which it does not count" if bench.acceptance_overall is not None else ""
    limit = f"{bench.roofline:.0f} tok/s that {bench.bandwidth / 1e9:,.0f} GB/s allow"
    usual = f"; about {bench.predicted:.0f} tok/s are what others reach with such weights" if bench.predicted else ""
    return f"{share:.0%} of the {limit} (estimated{drafted}){usual}"


# --- to read and to share --------------------------------------------------------------------------------------------

HEADERS: Final = ("at once", "tok/s each", "tok/s in sum", "first token", "between p50", "p90", "p99", "requests")


def headers(bench: Bench) -> list[str]:
    """Return a table's headers."""
    if bench.unit == TOKENS:
        return list(HEADERS)
    return ["at once", f"{bench.unit} each", f"{bench.unit} in sum", "answer", "requests"]


def rows(bench: Bench) -> list[list[str]]:
    """Return a table's rows."""
    whole = _rows(bench)
    return whole if bench.unit == TOKENS else [[*row[:4], row[-1]] for row in whole]


def _rows(bench: Bench) -> list[list[str]]:
    return [
        [
            str(one.concurrency),
            f"{one.per_request:.1f} ± {one.per_request_spread:.1f}",
            f"{one.together:.1f} ± {one.together_spread:.1f}",
            f"{one.first_s * 1000:.0f} ± {one.first_spread_s * 1000:.0f} ms",
            *(
                f"{one.between_s[name] * 1000:.1f} ms" if name in one.between_s else "?"
                for name in ("p50", "p90", "p99")
            ),
            str(one.requests),
        ]
        for one in bench.levels
    ]


def markdown(bench: Bench) -> str:
    """Return a benchmark as Markdown, to share."""
    lines = [f"**{bench.recipe}** ({bench.model}), vLLM {bench.vllm}, `{bench.image}`", ""]
    lines += markdown_table(headers(bench), rows(bench))
    each = f"{bench.max_tokens} {'tokens' if bench.unit == TOKENS else 'texts'} a request, {bench.rounds} rounds"
    lines += ["", f"{each}, {'temperature 0, ' if bench.unit == TOKENS else ''}one warm-up."]
    extra = [beside_expected(bench), beside_roofline(bench), *bench.notes]
    return "\n".join([*lines, *(f"- {text}" for text in extra if text)])


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    return [f"| {' | '.join(row)} |" for row in (headers, ["---"] * len(headers), *rows)]


def svg(bench: Bench) -> str:
    """Return a plot of a benchmark: for each concurrency a bar of the speed in sum, with that of each request in it."""
    height, left, step = 280, 60, 90
    width = max(480, left + step * len(bench.levels))
    most = max((one.together for one in bench.levels), default=0.0) or 1.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif">',
        f'<text x="{left}" y="20" font-size="14">{_escaped(bench.recipe)}: {bench.unit}</text>',
    ]
    for number, one in enumerate(bench.levels):
        x = left + number * step
        for speed, colour in ((one.together, "#9ecae1"), (one.per_request, "#3182bd")):
            tall = 180 * speed / most
            parts.append(f'<rect x="{x}" y="{220 - tall:.1f}" width="60" height="{tall:.1f}" fill="{colour}"/>')
        parts.append(
            f'<text x="{x}" y="{214 - 180 * one.together / most:.1f}" font-size="12">{one.together:.1f}</text>'
        )
        parts.append(f'<text x="{x}" y="238" font-size="12">{one.concurrency} at once</text>')
    legend = "light: all requests together, dark: each of them"
    parts.append(f'<text x="{left}" y="264" font-size="12">{legend}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
