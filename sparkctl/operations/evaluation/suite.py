"""A suite: tasks of lm-evaluation-harness that two services are asked, and what the second one has to keep of them.

The declaration is the check of the file (recipes/suites/NAME.yaml), its defaults and its JSON Schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003  (pydantic reads it at run time)
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from sparkctl.base.declarations import Declaration, Duration, is_name, wrong
from sparkctl.recipes.job.job import JobImage  # noqa: TC001  (pydantic reads it at run time)

_METRIC: Final = re.compile(r"[A-Za-z0-9_]+,[A-Za-z0-9_.-]+")
_SPLIT: Final = re.compile(r"[A-Za-z0-9_]+")
MOST_EMPTY: Final = 0.01
"""The share of answers without a word above which a run says nothing of the model (a choice)."""


def _metric(text: str) -> str:
    if not _METRIC.fullmatch(text):
        hint = "as lm-eval writes them in its results: exact_match,strict-match, or prompt_level_strict_acc,none"
        raise wrong(f"expected METRIC,FILTER, found {text!r}", hint)
    return text


def _split(text: str) -> str:
    if not _SPLIT.fullmatch(text):
        raise wrong(f"expected the name of a split, such as train or test, found {text!r}")
    return text


Share = Annotated[float, Field(ge=0, le=1)]


class Expected(Declaration):
    """What somebody measured before: the scores of the original and of the quantized model, from 0 to 1."""

    reference: float = Field(gt=0, le=1, description="the score of the original")
    quantized: float = Field(ge=0, le=1, description="the score of the quantized model")

    @property
    def kept(self) -> float:
        """The share that the quantized model kept."""
        return self.quantized / self.reference


class JudgedMetric(Declaration):
    """One metric of a task."""

    floor: float | None = Field(None, ge=0, le=2, description="the least share of the reference's score to keep")
    expect: Expected | None = Field(None, description="figures that were measured before, shown beside")


class SuiteTask(Declaration):
    """Questions, and how they are asked."""

    task: str | None = Field(
        None, min_length=1, description="the task's name in lm-eval, or a file of its format; the key, if not written"
    )
    fewshot: int | None = Field(None, ge=0, le=64, description="solved examples before each question; else the task's")
    data: Mapping[Annotated[str, AfterValidator(_split)], str] | None = Field(
        None, min_length=1, description="JSON Lines on this host in place of the hub's data, by the task's split"
    )
    nltk: Annotated[tuple[Annotated[str, AfterValidator(is_name)], ...], Field(strict=False)] = Field(
        (), description="data of nltk that the task's answers are judged with"
    )
    metrics: Mapping[Annotated[str, AfterValidator(_metric)], JudgedMetric] = Field(
        default_factory=dict, description="METRIC,FILTER to compare; every one of the task's, if none is written"
    )


class Suite(Declaration, title="sparkctl suite"):
    """Tasks that two services are asked, and what the second has to keep of the first one's score."""

    description: str = Field("", description="a line for the operator")
    source: str = Field(min_length=1, description="where the tasks, the floors and the expected figures come from")
    image: JobImage = Field(description="the image that has lm-eval, as a job's: one that is there, or one to build")
    tasks: Mapping[Annotated[str, AfterValidator(is_name)], SuiteTask] = Field(
        min_length=1, max_length=64, description="the tasks, by a name"
    )
    concurrency: int = Field(4, ge=1, le=256, description="requests at once")
    tokens: int = Field(2048, ge=1, le=131_072, description="the longest answer, thoughts included")
    seed: int = Field(1234, ge=0, le=2**31 - 1, description="of the server's sampling and of the choice of examples")
    questions: int | None = Field(None, ge=1, description="of each task only so many, to try the suite; null: all")
    timeout: Duration = Field(600.0, description="how long one answer may take")
    retries: int = Field(3, ge=1, le=100, description="how often a question is asked that gets no answer")
    max_empty: Share = Field(MOST_EMPTY, description="the share of empty answers above which a run is void")
