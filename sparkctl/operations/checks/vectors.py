"""Are vectors, ranks and transcripts what they must be? Each is a pure function from an answer to findings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sparkctl.operations.checks.judge import Judgement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.vllm.answers import Ranking, Transcript, Vectors


def judge_vectors(found: Vectors, texts: int) -> list[Judgement]:
    """Judge the vectors of texts: one each, of equal length, none of them zero, the first two nearest to each other."""
    each = found.each
    dimensions = sorted({len(vector) for vector in each})
    norms = [math.hypot(*vector) for vector in each]
    shown = ", ".join(map(str, dimensions))
    right = len(each) == texts and len(dimensions) == 1
    dimension = Judgement("dimension", right, f"{len(each)} vectors of {shown} numbers", f"{texts} of one dimension")
    length = Judgement("norm", min(norms) > 0, _norms(norms), "more than 0")
    if not (dimension.passed and length.passed):
        return [dimension, length]
    pair = cosine(each[0], each[1])
    third = max(cosine(each[0], each[2]), cosine(each[1], each[2]))
    near = Judgement("nearer", pair > third, f"{pair:.3f} between the first two", f"more than {third:.3f} to the third")
    return [dimension, length, near]


def _norms(norms: Sequence[float]) -> str:
    low, high = f"{min(norms):.3f}", f"{max(norms):.3f}"
    return low if low == high else f"{low} to {high}"


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Return how near two vectors are: 1 for one direction, 0 for nothing in common."""
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


def judge_ranking(found: Ranking, best: Sequence[int]) -> Judgement:
    """Judge the documents that are ranked first."""
    order = ", ".join(f"{index} ({score:.3f})" for index, score in zip(found.order, found.scores, strict=True))
    return Judgement("best", found.order[: len(best)] == tuple(best), order, f"first {', '.join(map(str, best))}")


def judge_transcript(found: Transcript, most_words: int) -> Judgement:
    """Judge a transcript: a model that hears words in silence never stops writing."""
    count = len(found.text.split())
    return Judgement("most-words", count <= most_words, f"{count} words", f"at most {most_words}")
