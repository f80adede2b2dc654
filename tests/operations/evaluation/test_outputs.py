"""What lm-eval 0.4.13 really wrote, read: its scores, its questions, its empty answers; and what is none of it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import InputError
from sparkctl.operations.evaluation import outputs
from sparkctl.operations.evaluation.answers import Answers
from sparkctl.operations.evaluation.retention import compared
from sparkctl.operations.evaluation.suite import Suite
from tests.support.paths import FIXTURES

if TYPE_CHECKING:
    from pathlib import Path

WRITTEN = FIXTURES / "lm-eval-0.4.13"
TASKS = ("gsm8k", "ifeval")
SUITE = Suite.model_validate({"source": "a test", "image": {"base": "an-image"}, "tasks": {name: {} for name in TASKS}})


def answers(name: str) -> Answers:
    path = results(WRITTEN / name)
    found = outputs.read(path, TASKS)
    return Answers(name, "suite", "key", 0.0, found.seconds, found.lm_eval, dict(found.tasks))


def results(folder: Path) -> Path:
    (path,) = folder.rglob("results_*.json")
    return path


def test_the_scores_are_lm_eval_s_and_the_questions_add_up_to_them() -> None:
    found = outputs.read(results(WRITTEN / "reference"), TASKS)
    assert found.lm_eval == "0.4.13"
    gsm8k, ifeval = (found.tasks[name] for name in TASKS)
    assert (gsm8k.shots, len(gsm8k.asked), gsm8k.empty, gsm8k.version) == (2, 6, 0, "3.0")
    assert sorted(gsm8k.metrics) == ["exact_match,flexible-extract", "exact_match,strict-match"]
    assert sorted(ifeval.metrics) == [
        f"{level}_level_{kind}_acc,none" for level in ("inst", "prompt") for kind in ("loose", "strict")
    ]
    for task in (gsm8k, ifeval):
        for metric in task.metrics.values():
            assert sum(metric.right) / sum(metric.of) == pytest.approx(metric.score)
    assert ifeval.metrics["inst_level_strict_acc,none"].of == (1, 2, 1), "instructions of each prompt"
    assert json.loads(gsm8k.generation)["max_gen_toks"] == 64


def test_two_runs_of_the_same_questions_compare_and_one_question_was_lost() -> None:
    found = compared(SUITE, answers("reference"), answers("other"))
    assert found.void == ()
    rows = {row.name: row for row in found.rows}
    strict = rows["gsm8k strict-match"]
    assert (strict.lost, strict.won, strict.kept) == (1, 0, pytest.approx(0.8))
    assert rows["ifeval prompt_level_strict_acc"].kept == 1.0


def test_a_server_that_answers_null_makes_the_run_void_though_lm_eval_ended_well() -> None:
    found = compared(SUITE, answers("reference"), answers("null"))
    assert [line.partition(",")[0] for line in found.void] == [
        "gsm8k: 6 of 6 answers of null are empty",
        "ifeval: 3 of 3 answers of null are empty",
    ]


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("results", '"exact_match,strict-match": 0.8', '"exact_match,strict-match": "x0.8', "no JSON"),
        ("results", '"lm_eval_version": "0.4.13"', '"lm_eval_version": 4', "lm_eval_version: expected a text, found 4"),
        ("results", '"task_hashes"', '"other_hashes"', "task_hashes.gsm8k: expected a text, found nothing"),
        ("results", '"exact_match,strict-match": 0.8333333333333334', '"exact_match,strict-match": "N/A"', "a number"),
        ("samples_gsm8k", '"doc_id": 1,', '"doc_id": 0,', "has other questions than the rest"),
        ("samples_gsm8k", '"doc_id": 1,', '"doc_id": "1",', ":2: expected doc_id and filter"),
        ("samples_gsm8k", '"doc_hash"', '"dog_hash"', "question 0 has no hashes"),
        ("samples_gsm8k", '"exact_match": 1.0', '"exact_match": "yes"', "exact_match: expected a number"),
        ("samples_gsm8k", '"exact_match": 1.0', '"exact_match": -1.0', "exact_match: expected a number from 0"),
        ("samples_ifeval", '"inst_level_strict_acc": [true]', '"inst_level_strict_acc": []', "expected a number"),
    ],
)
def test_what_is_no_output_of_lm_eval_says_where(tmp_path: Path, file: str, old: str, new: str, says: str) -> None:
    folder = tmp_path / "run"
    shutil.copytree(WRITTEN / "reference", folder)
    (path,) = folder.rglob(f"{file}_*")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError) as refused:
        outputs.read(results(folder), TASKS)
    assert says in refused.value.message
    assert str(folder) in refused.value.message


def test_a_file_that_is_missing_says_which(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(WRITTEN / "reference", folder)
    (path,) = folder.rglob("samples_ifeval_*")
    path.write_bytes(b"")
    with pytest.raises(InputError, match="no question was asked"):
        outputs.read(results(folder), TASKS)
    path.unlink()
    with pytest.raises(InputError, match=r"cannot read .*samples_ifeval"):
        outputs.read(results(folder), TASKS)
