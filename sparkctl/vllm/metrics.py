"""What a vLLM counts of itself: the text of its /metrics as values. Pure.

The names are those of vLLM 0.10 to 0.33 (v1/metrics/loggers.py, v1/spec_decode/metrics.py), the older spellings among
them. Several engines behind one server are summed; the cache's use is that of the fullest.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sparkctl.base.lazy import LazyModule
from sparkctl.base.units import KIB, MIB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import parser
else:
    # The import brings an HTTP server along and takes longer than a small plan: only parsing counters pays for it.
    parser = LazyModule("prometheus_client.parser")

_PREFIX: Final = "vllm:"
_OLDER: Final = {"gpu_cache_usage_perc": "kv_cache_usage_perc"}
"""Names from before 0.11, and their present names."""
_POSITIONS: Final = "spec_decode_num_accepted_tokens_per_pos_total"
_LONGEST: Final = 4 * MIB
"""Characters: the text of a server with one engine has 53,659 (0.32.0)."""
_LONGEST_LINE: Final = 16 * KIB
"""The longest has 1,063. The parser's time grows with the square of a line: 80 s for one of 2 MiB."""
_MOST: Final = 1e18
"""The largest value of a counter: a billion tokens a second for thirty years."""
ENOUGH: Final = 200
"""From this many drafted tokens on, an acceptance is meaningful: a twentieth would tell 0.2 % (vllm#41789) from 40 %,
but only a part of the drafts reaches the positions after the first."""

IN_VAIN: Final = 0.02
"""An acceptance below this means a broken draft path: 0.0 to 0.2 % were seen with a broken one (vllm#41789), and 29 %
at the third position of a working one (ai-muninn, DGX Spark)."""


@dataclass(frozen=True, slots=True)
class DraftCounts:
    """Speculative decoding between two moments. ``accepted`` are drafted tokens that were kept, by position."""

    drafts: float
    drafted: float
    accepted: float
    by_position: tuple[float, ...] = ()

    @property
    def overall(self) -> float | None:
        """The share of the drafted tokens that were accepted, None while none was drafted."""
        return self.accepted / self.drafted if self.drafted > 0 else None

    @property
    def positions(self) -> tuple[float, ...]:
        """For each position, the share of the drafts whose token there was accepted; () while there was no draft."""
        return tuple(count / self.drafts for count in self.by_position) if self.drafts > 0 else ()

    @property
    def enough(self) -> bool:
        """Whether enough tokens were drafted for a judgement."""
        return self.drafted >= ENOUGH

    def since(self, before: DraftCounts | None) -> DraftCounts:
        """Return what was counted since an earlier moment; everything, if the counters were reset in between."""
        if before is None or before.drafted > self.drafted or before.drafts > self.drafts:
            return self
        older = (*before.by_position, *[0.0] * len(self.by_position))
        by_position = tuple(now - then for now, then in zip(self.by_position, older, strict=False))
        drafted, accepted = self.drafted - before.drafted, self.accepted - before.accepted
        return DraftCounts(self.drafts - before.drafts, drafted, accepted, by_position)


@dataclass(frozen=True, slots=True)
class Metrics:
    """The counters of a server at one moment; missing ones are None. Tokens and requests are since its start.

    ``kv_usage`` is a share; ``iterations`` counts the scheduler's steps; ``finished`` requests by their reason;
    ``drafting`` is None for a server without speculative decoding.
    """

    running: float | None = None
    waiting: float | None = None
    kv_usage: float | None = None
    prompt_tokens: float | None = None
    generation_tokens: float | None = None
    iterations: float | None = None
    preemptions: float | None = None
    prefix_queries: float | None = None
    prefix_hits: float | None = None
    finished: Mapping[str, float] = field(default_factory=dict)
    drafting: DraftCounts | None = None

    @property
    def says_anything(self) -> bool:
        """Whether the text came from a vLLM at all."""
        return any(value is not None for value in (self.running, self.waiting, self.generation_tokens))

    @property
    def prefix_hit_rate(self) -> float | None:
        """The share of the tokens that were looked for in the prefix cache and found."""
        return self.prefix_hits / self.prefix_queries if self.prefix_queries and self.prefix_hits is not None else None


def parse(text: str) -> Metrics:
    """Return the counters in a text of /metrics; empty for another text, or one far longer than a vLLM's."""
    sums: defaultdict[str, float] = defaultdict(float)
    largest: dict[str, float] = {}
    finished: defaultdict[str, float] = defaultdict(float)
    positions: defaultdict[int, float] = defaultdict(float)
    if len(text) > _LONGEST or any(len(line) > _LONGEST_LINE for line in text.split("\n")):
        return Metrics()
    try:
        for family in parser.text_string_to_metric_families(text):
            for sample in family.samples:
                if not abs(sample.value) <= _MOST:
                    continue  # no count; NaN and Infinity are no JSON either
                name = sample.name.removeprefix(_PREFIX)
                name = _OLDER.get(name, name)
                sums[name] += sample.value
                largest[name] = max(sample.value, largest.get(name, sample.value))
                if name == "request_success_total":
                    finished[sample.labels.get("finished_reason", "")] += sample.value
                if name == _POSITIONS:
                    positions[int(sample.labels.get("position", "0"))] += sample.value
    except (ValueError, IndexError):  # the second for labels without a name
        return Metrics()  # half a text, a web page: nothing of it can be trusted
    return Metrics(
        running=sums.get("num_requests_running"),
        waiting=sums.get("num_requests_waiting"),
        kv_usage=largest.get("kv_cache_usage_perc"),
        prompt_tokens=sums.get("prompt_tokens_total"),
        generation_tokens=sums.get("generation_tokens_total"),
        iterations=sums.get("iteration_tokens_total_count"),
        preemptions=sums.get("num_preemptions_total"),
        prefix_queries=sums.get("prefix_cache_queries_total"),
        prefix_hits=sums.get("prefix_cache_hits_total"),
        finished=dict(finished),
        drafting=_drafting(sums, positions),
    )


def _drafting(sums: Mapping[str, float], positions: Mapping[int, float]) -> DraftCounts | None:
    names = ("num_drafts_total", "num_draft_tokens_total", "num_accepted_tokens_total")
    found = [sums.get(f"spec_decode_{name}") for name in names]
    drafts, drafted, accepted = found
    if drafts is None or drafted is None or accepted is None:
        return None
    return DraftCounts(drafts, drafted, accepted, tuple(positions[place] for place in sorted(positions)))


def in_words(drafting: DraftCounts) -> str:
    """Return an acceptance for a reader: ``66 % 43 % 29 %`` by position, overall where that is not known."""
    shares = drafting.positions or (drafting.overall or 0.0,)
    # Below one percent the tenths are the news.
    return " ".join(f"{100 * share:.1f} %" if 0 < share < 0.01 else f"{100 * share:.0f} %" for share in shares)  # noqa: PLR2004
