"""Reads what lm-evaluation-harness 0.4.13 writes: results_TIME.json, and samples_TASK_TIME.jsonl beside it.

Both are an image's output, which somebody else may have made: they are read within bounds, and every field is judged.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sparkctl.base import regular_file
from sparkctl.base.bounded import BOUNDS, UnreadableError, read_json
from sparkctl.base.errors import InputError
from sparkctl.operations.evaluation.answers import Scored, TaskAnswers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PLACEHOLDER: Final = "LMEVAL_MODEL_NONE_ANSWER_PLACEHOLDER"
"""The text that the script makes lm-eval write if a server answers null; it is also the variable's name."""
_MOST_LINES: Final = 200_000
"""Bytes of one file of samples, which has a line for each question and filter: GSM8K has 2,638 lines."""
_DIGITS: Final = 12
_HINT: Final = "run the evaluation again with --again; another release of lm-eval may write another format"


class Written(NamedTuple):
    """The results of a finished run: lm-eval's version, the seconds that it took, and the answers by task."""

    lm_eval: str
    seconds: float
    tasks: Mapping[str, TaskAnswers]


def read(path: Path, tasks: Sequence[str]) -> Written:
    """Return what a run wrote of its tasks; ``path`` is its results_TIME.json.

    Raises:
        InputError: a file cannot be read, is no such file, or a task is missing.
    """
    results = _Fields(path, _document(path, regular_file.read_bytes(path, BOUNDS.size)))
    stamp = path.stem.removeprefix("results_")
    found = {
        task: _task(results, task, path.with_name(f"samples_{task}_{stamp}.jsonl")) for task in dict.fromkeys(tasks)
    }
    took = results.get("total_evaluation_time_seconds")
    return Written(results.text("lm_eval_version"), _seconds(took), found)


def _seconds(value: object) -> float:
    """Return lm-eval's own duration, which it writes as a text; 0 where it says none."""
    try:
        seconds = float(value) if isinstance(value, str | int | float) else 0.0
    except ValueError:
        return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0


class _Fields(NamedTuple):
    """A map of a file, whose fields are asked for with the kind that they have to be."""

    path: Path
    values: Mapping[str, Any]

    def get(self, *keys: str) -> object:
        value: object = self.values
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def text(self, *keys: str) -> str:
        value = self.get(*keys)
        if not isinstance(value, str):
            raise _wrong(self.path, keys, "a text", value)
        return value

    def map(self, *keys: str) -> dict[str, Any]:
        value = self.get(*keys)
        if not isinstance(value, dict):
            raise _wrong(self.path, keys, "a map", value)
        return value


def _wrong(path: Path, keys: Sequence[str], expected: str, found: object) -> InputError:
    kind = "nothing" if found is None else json.dumps(found, default=str)[:60]
    return InputError(f"{path}: {'.'.join(keys)}: expected {expected}, found {kind}", hint=_HINT)


def _document(path: Path, data: bytes | str, line: int | None = None) -> dict[str, Any]:
    where = f"{path}" if line is None else f"{path}:{line}"
    try:
        value = read_json(data)
    except UnreadableError as error:
        raise InputError(f"{where}: {error.message}", hint=_HINT) from None
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a map, found {json.dumps(value)[:60]}", hint=_HINT)
    return value


class _Asked(NamedTuple):
    """The needed values in a line of samples: the question, the prompt, and how much of each metric is right."""

    question: int
    asked: str
    empty: bool
    values: Mapping[str, tuple[float, int]]


def _task(results: _Fields, task: str, samples: Path) -> TaskAnswers:
    named = [name for name in results.map("results", task) if "," in name and "_stderr," not in name]
    by_filter = _samples(samples, named)
    if not by_filter:
        raise InputError(f"{samples}: no question was asked", hint="does the task's data have any?")
    first = next(iter(by_filter.values()))
    shots = results.get("n-shot", task)
    return TaskAnswers(
        version=str(results.get("versions", task)),
        hash=results.text("task_hashes", task),
        shots=shots if isinstance(shots, int) else 0,
        generation=json.dumps(results.get("configs", task, "generation_kwargs"), sort_keys=True),
        asked=tuple(row.asked for row in first),
        empty=sum(row.empty for row in first),
        metrics={
            name: _scored(results, task, name, rows)
            for name in named
            if (rows := by_filter.get(name.rpartition(",")[2]))
        },
    )


def _samples(path: Path, named: Sequence[str]) -> dict[str, list[_Asked]]:
    """Return the lines of a file of samples by filter, each in the order of the task's documents.

    Of a line only this is kept: prompts and answers of a large suite would fill the memory.
    """
    found: dict[str, list[_Asked]] = {}
    for number, line in enumerate(regular_file.lines(path, BOUNDS.size), start=1):
        if not line.strip():
            continue
        if number > _MOST_LINES:
            raise InputError(f"{path}: more than {_MOST_LINES:,} lines", hint=_HINT)
        row = _document(path, line, number)
        question, kind = row.get("doc_id"), row.get("filter")
        if not isinstance(question, int) or not isinstance(kind, str):
            raise InputError(f"{path}:{number}: expected doc_id and filter, found neither or one", hint=_HINT)
        metrics = [name.rpartition(",")[0] for name in named if name.rpartition(",")[2] == kind]
        values = {metric: _value(path, row, metric) for metric in metrics}
        found.setdefault(kind, []).append(_Asked(question, _asked(path, row), _is_empty(row), values))
    ordered = {name: sorted(rows, key=lambda row: row.question) for name, rows in found.items()}
    questions = {name: [row.question for row in rows] for name, rows in ordered.items()}
    for name, ids in questions.items():
        if len(set(ids)) != len(ids) or ids != next(iter(questions.values())):
            raise InputError(f"{path}: the filter {name} has other questions than the rest", hint=_HINT)
    return ordered


def _asked(path: Path, row: Mapping[str, Any]) -> str:
    """Return a digest of what was asked and what is right: equal only where both are the same."""
    hashes = [row.get(name) for name in ("doc_hash", "prompt_hash", "target_hash")]
    if not all(isinstance(one, str) for one in hashes):
        raise InputError(f"{path}: question {row['doc_id']} has no hashes", hint=_HINT)
    return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()[:_DIGITS]


def _is_empty(row: Mapping[str, Any]) -> bool:
    """Return whether no answer to a question has a word; a server's null has come as the placeholder."""
    answers = list(_texts(row.get("resps")))
    return all(not text.strip() or text.strip() == PLACEHOLDER for text in answers)


def _texts(value: object) -> Iterator[str]:
    """Yield the texts of lists in lists."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, str):
            yield one


def _scored(results: _Fields, task: str, name: str, rows: Sequence[_Asked]) -> Scored:
    metric = name.rpartition(",")[0]
    score = results.get("results", task, name)
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise _wrong(results.path, ("results", task, name), "a number", score)
    pairs = [row.values[metric] for row in rows]
    higher = results.get("higher_is_better", task, metric) is not False
    return Scored(float(score), higher, tuple(right for right, _ in pairs), tuple(count for _, count in pairs))


def _value(path: Path, row: Mapping[str, Any], metric: str) -> tuple[float, int]:
    """Return how much of an answer is right, of how much."""
    value = row.get(metric)
    parts = value if isinstance(value, list) else [value]
    if not parts or not all(isinstance(part, bool | int | float) and part >= 0 for part in parts):
        raise _wrong(path, (f"question {row['doc_id']}", metric), "a number from 0, or a list of them", value)
    return float(sum(parts)), len(parts)
