"""One service's answers to the questions of a suite, as values: which were right, and how they were asked.

It is read from what lm-evaluation-harness 0.4.13 writes (``outputs``), and kept (``kept``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True, slots=True)
class Scored:
    """One metric of one task, question by question.

    ``right`` of ``of`` are for each question in the task's order: 1.0 of 1 for a right answer, and for a metric that
    judges several things of an answer (IFEval's instructions) as many as it fulfils, of how many. ``score`` is
    lm-eval's own figure; ``higher`` is whether more is better.
    """

    score: float
    higher: bool
    right: tuple[float, ...]
    of: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TaskAnswers:
    """One task.

    ``version``, ``hash`` (of the questions), ``shots``, ``generation`` (JSON) and ``asked`` (a digest of each
    question's document, prompt and target) say how it was asked: two of them compare only where they are the same.
    ``empty`` answers had no word. ``metrics`` are by METRIC,FILTER.
    """

    version: str
    hash: str
    shots: int
    generation: str
    asked: tuple[str, ...]
    empty: int
    metrics: dict[str, Scored]


@dataclass(frozen=True, slots=True)
class Answers:
    """All tasks of a suite, asked of one service.

    ``key`` is the digest of all that decides the answers: the service as it was started, its model, the suite's
    questions, the image of lm-eval. ``at`` is when the last answer came, in seconds since the epoch; ``seconds`` is
    how long lm-eval ran the last time, which is not all of it where a run was resumed.
    """

    service: str
    suite: str
    key: str
    at: float
    seconds: float
    lm_eval: str
    tasks: dict[str, TaskAnswers]


def refuse_unsound(found: Answers, tasks: Collection[str]) -> None:
    """Refuse answers that do not go together, as of a file that was changed: then nothing can be paired.

    Raises:
        InputError: a task is missing, or a metric has no value for each question.
    """
    for name in tasks:
        task = found.tasks.get(name)
        if task is None:
            raise InputError(f"the task {name} is missing")
        count = len(task.asked)
        if not count or not 0 <= task.empty <= count:
            raise InputError(f"{name}: expected questions, and at most so many empty answers")
        for metric, scored in task.metrics.items():
            if not len(scored.right) == len(scored.of) == count:
                raise InputError(f"{name}: {metric}: expected {count} values, found {len(scored.right)}")
            if any(right < 0 or of < 1 for right, of in zip(scored.right, scored.of, strict=True)):
                raise InputError(f"{name}: {metric}: expected no value below 0")
