"""How much of a reference's score another model keeps, question by question. Pure.

Both were asked the same questions, so each question is its own pair, and what both get right or wrong says nothing of
the difference. That is why an interval of the ratio is far narrower than those of the two scores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sparkctl.operations.evaluation.suite import JudgedMetric

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.operations.evaluation.answers import Answers, Scored, TaskAnswers
    from sparkctl.operations.evaluation.suite import Suite

Z95: Final = 1.959963984540054
"""The normal distribution's quantile of 97.5 %: for an interval of 95 %."""


@dataclass(frozen=True, slots=True)
class Retained:
    """One metric of both. Scores are from 0 to 1, ``kept`` is their ratio; None: the reference has none to keep.

    ``low`` and ``high`` bound it with 95 % confidence. ``lost`` questions the reference answered better, ``won`` the
    other did; ``p`` is how likely such a difference is where none is. ``expected`` is the ratio that was measured
    before, ``floor`` the least to keep.
    """

    task: str
    metric: str
    reference: float
    other: float
    kept: float | None
    low: float | None
    high: float | None
    questions: int
    lost: int
    won: int
    p: float
    floor: float | None = None
    expected: float | None = None

    @property
    def name(self) -> str:
        """The task and the metric, as they are shown: gsm8k strict-match, ifeval prompt_level_strict_acc."""
        metric, _, kind = self.metric.rpartition(",")
        return f"{self.task} {metric if kind == 'none' else kind}"

    @property
    def below(self) -> bool:
        """Whether less is kept than has to be."""
        return self.floor is not None and self.kept is not None and self.kept < self.floor

    @property
    def noise(self) -> bool:
        """Whether the difference may be chance: the interval holds 1."""
        return self.low is not None and self.high is not None and self.low <= 1 <= self.high


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model compared with its reference: the rows, the mean of what is kept, and why it says nothing (``void``)."""

    suite: str
    reference: str
    other: str
    rows: tuple[Retained, ...]
    average: float | None
    void: tuple[str, ...]

    @property
    def below(self) -> tuple[Retained, ...]:
        """The metrics of which too little is kept."""
        return tuple(row for row in self.rows if row.below)

    @property
    def passed(self) -> bool:
        """Whether the comparison says something, and every floor is held."""
        return not self.void and not self.below


def compared(suite: Suite, reference: Answers, other: Answers) -> Comparison:
    """Return what ``other`` keeps of ``reference``. What was not asked alike is void, and is not compared."""
    different = {name: list(_different(name, reference.tasks[name], other.tasks[name])) for name in suite.tasks}
    void = [reason for reasons in different.values() for reason in reasons]
    void += [*_empty(suite, reference), *_empty(suite, other)]
    rows = [
        row
        for name, task in suite.tasks.items()
        if not different[name]
        for row in _rows(name, task.metrics, reference.tasks[name], other.tasks[name])
    ]
    void += _missing(suite, rows, different)
    void += [
        f"{row.name}: {reference.service} has a score of 0, of which nothing can be kept"
        for row in rows
        if row.kept is None and row.floor is not None
    ]
    known = [row.kept for row in rows if row.kept is not None]
    average = math.fsum(known) / len(known) if known else None
    return Comparison(reference.suite, reference.service, other.service, tuple(rows), average, tuple(void))


def _different(name: str, reference: TaskAnswers, other: TaskAnswers) -> Iterator[str]:
    """Yield how two were not asked alike: then a difference of their scores says nothing of the models."""
    asked = {
        "version of the task": (reference.version, other.version),
        "examples before a question": (reference.shots, other.shots),
        "settings of the generation": (reference.generation, other.generation),
        "questions": (len(reference.asked), len(other.asked)),
    }
    for what, (one, two) in asked.items():
        if one != two:
            yield f"{name}: not comparable: {what}: {one} of the reference, {two} of the other"
    unequal = sum(one != two for one, two in zip(reference.asked, other.asked, strict=False))
    if unequal:
        yield f"{name}: not comparable: {unequal} of {len(reference.asked)} questions have another text or solution"
    elif reference.hash != other.hash and len(reference.asked) == len(other.asked):
        yield f"{name}: not comparable: lm-eval says that the tasks differ (task_hashes)"


def _empty(suite: Suite, answers: Answers) -> Iterator[str]:
    for name in suite.tasks:
        task = answers.tasks[name]
        if task.empty > suite.max_empty * len(task.asked):
            share = f"{task.empty} of {len(task.asked)} answers of {answers.service} are empty"
            yield f"{name}: {share}, more than {suite.max_empty:.1%}: these scores say nothing of the model"


def _missing(suite: Suite, rows: Sequence[Retained], different: Mapping[str, Sequence[str]]) -> Iterator[str]:
    there = {(row.task, row.metric) for row in rows}
    for name, task in suite.tasks.items():
        for metric in task.metrics:
            if not different[name] and (name, metric) not in there:
                yield f"{name}: lm-eval has no metric {metric} of this task, or less of it is better"


def _rows(
    task: str, wanted: Mapping[str, JudgedMetric], reference: TaskAnswers, other: TaskAnswers
) -> Iterator[Retained]:
    for metric in wanted or reference.metrics:
        one, two = reference.metrics.get(metric), other.metrics.get(metric)
        if one is not None and two is not None and one.higher and one.of == two.of:
            yield retained(task, metric, wanted.get(metric, JudgedMetric()), one, two)


def retained(task: str, metric: str, judged: JudgedMetric, reference: Scored, other: Scored) -> Retained:
    """Return one metric of two models that were asked the same questions."""
    pairs = list(zip(reference.right, other.right, strict=True))
    lost, won = sum(one > two for one, two in pairs), sum(two > one for one, two in pairs)
    low, high = interval(reference.right, other.right)
    first, second = math.fsum(reference.right), math.fsum(other.right)
    return Retained(
        task=task,
        metric=metric,
        reference=reference.score,
        other=other.score,
        kept=second / first if first > 0 else None,
        low=low,
        high=high,
        questions=len(pairs),
        lost=lost,
        won=won,
        p=sign_test(lost, won),
        floor=judged.floor,
        expected=None if judged.expect is None else judged.expect.kept,
    )


def interval(reference: Sequence[float], other: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the bounds (95 %) of the ratio of two paired sums; (None, None) where the reference's is 0.

    For right and wrong answers this is the modified Wald interval of Bonett and Price (2006), "Confidence intervals
    for a ratio of binomial proportions based on paired data", Statistics in Medicine 25:3039-3047: one lost and one
    won question are added, and the logarithm of the ratio has the variance (lost + won) / (right x right). For a metric
    that counts several things of an answer the variance is that of a ratio estimator (Cochran, Sampling Techniques, 3rd
    ed., 1977, section 6.4), with questions as the units; of right and wrong answers it is the same. The ratio itself is
    always within: of a few questions the two that were added would move the interval past it.
    """
    if math.fsum(reference) <= 0:
        return None, None
    pairs = [*zip(reference, other, strict=True), (1.0, 0.0), (0.0, 1.0)]
    first, second = math.fsum(one for one, _ in pairs), math.fsum(two for _, two in pairs)
    variance = math.fsum((two / second - one / first) ** 2 for one, two in pairs)
    middle, width = second / first, Z95 * math.sqrt(variance)
    ratio = math.fsum(other) / math.fsum(reference)
    return min(ratio, middle * math.exp(-width)), max(ratio, middle * math.exp(width))


def sign_test(lost: int, won: int) -> float:
    """Return how likely a difference as large as this is where none is: two-sided, exact.

    Of right and wrong answers it is McNemar's exact test (McNemar 1947, Psychometrika 12:153-157): of the questions
    that differ, each is as likely lost as won.
    """
    count, fewer = lost + won, min(lost, won)
    tail, term = 0, 1
    for chosen in range(fewer + 1):
        tail += term
        term = term * (count - chosen) // (chosen + 1)
    p: float = 2 * tail / 2**count  # of whole numbers, whose quotient Python rounds once
    return min(1.0, p)
