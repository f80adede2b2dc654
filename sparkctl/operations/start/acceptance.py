"""Does speculative decoding work? The floor below which a start is not ready, and what an acceptance says. Pure.

A draft path that is broken costs nothing but speed: the answers are right and /health says 200 (vllm#41789).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sparkctl.vllm.metrics import IN_VAIN, in_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.vllm.metrics import DraftCounts, Metrics

OVERALL: Final = "overall"
_COPYING: Final = frozenset({"ngram", "ngram_gpu", "suffix"})
"""Methods that draft out of the text itself: how much they find says nothing of whether they work."""


@dataclass(frozen=True, slots=True)
class Floor:
    """The least acceptance, as shares by ``overall`` or ``position-N``. ``declared``: the recipe's; else it warns."""

    shares: Mapping[str, float] = field(default_factory=dict)
    declared: bool = False


def floor_of(declared: Mapping[str, float], method: str | None) -> Floor:
    """Return the floor of a recipe that drafts: its own, else the share below which a draft path is broken."""
    if declared:
        return Floor(declared, declared=True)
    return Floor() if method in _COPYING else Floor({OVERALL: IN_VAIN})


def below(drafting: DraftCounts, floor: Floor) -> str:
    """Return in words where an acceptance is below its floor, '' where it is not."""
    found = [_short(drafting, name, least) for name, least in floor.shares.items()]
    short = "; ".join(filter(None, found))
    return f"{said(drafting)}: {short}" if short else ""


def said(drafting: DraftCounts) -> str:
    """Return an acceptance as a sentence, with the count that it stands on."""
    return f"drafts are accepted {in_words(drafting)} ({drafting.drafted:,.0f} drafted tokens)"


def _short(drafting: DraftCounts, name: str, least: float) -> str:
    if name == OVERALL:
        share, where = drafting.overall, "overall"
    else:
        position = int(name.rpartition("-")[2])
        where = f"at position {position}"
        share = drafting.positions[position] if position < len(drafting.positions) else None
    if share is None:
        return f"nothing is known {where}, where {100 * least:.0f} % are expected"
    return f"{100 * share:.1f} % {where}, where at least {100 * least:.1f} % are expected" if share < least else ""


def others(before: Metrics, after: Metrics, own_tokens: int) -> str:
    """Return a note that others were served meanwhile, by tokens beyond one's own; '' where there were none."""
    if before.generation_tokens is None or after.generation_tokens is None:
        return ""
    more = after.generation_tokens - before.generation_tokens - own_tokens
    return f"{more:,.0f} tokens of others' requests are in it" if more > 0 else ""
