"""Each entry of the catalogue of failed jobs by its own text, and what an exit code says where no text does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.recipes.job.failures import catalogue, explain_job
from tests.support.failure_entries import assert_knows_its_text_alone, assert_takes_no_line_long

if TYPE_CHECKING:
    from sparkctl.vllm.failures import Failure


@pytest.mark.parametrize("failure", catalogue(), ids=lambda failure: failure.id)
def test_each_entry_knows_its_text_and_not_its_neighbour(failure: Failure) -> None:
    assert_knows_its_text_alone(failure, catalogue())


@pytest.mark.parametrize("failure", catalogue(), ids=lambda failure: failure.id)
def test_no_line_takes_an_entry_long(failure: Failure) -> None:
    assert_takes_no_line_long(failure)


def test_ids_are_unique() -> None:
    ids = [failure.id for failure in catalogue()]
    assert len(ids) == len(set(ids))
    assert len(ids) >= 43


TRACE = [
    '{"phase": "load"}',
    "Traceback (most recent call last):",
    '  File "/job/script.py", line 41, in <module>',
    "    main()",
    '  File "/job/script.py", line 9, in main',
]


def test_a_whole_log_has_its_cause_and_a_bar_hides_nothing() -> None:
    bar = "Compressing model:  85%|████████▌ | 28/33 [00:00<00:00, 61.19it/s]\rCompressing model: 100%|██| 33/33"
    log = [*TRACE, "OSError: [Errno 28] No space left on device: '/output/model.safetensors'", bar]
    found = explain_job(log, 1)
    assert found is not None
    assert found[0].startswith("the disk of the output is full")
    assert "sparkctl job plan" in found[1]


def test_an_exception_that_nobody_knows_is_its_own_cause() -> None:
    assert explain_job([*TRACE, "ValueError: a novel trouble"], 1) == ("ValueError: a novel trouble", "")


def test_what_is_said_in_passing_is_no_cause() -> None:
    passing = "Failed to get GPU memory info: Not Supported. Stopping GPU memory monitor."
    found = explain_job([passing, *TRACE, "ValueError: a novel trouble"], 1)
    assert found == ("ValueError: a novel trouble", "")


def test_a_signal_speaks_where_the_log_is_silent() -> None:
    by_hand = explain_job(["Quantizing: 3/7"], 137)
    assert by_hand is not None
    assert "its engine does not say why" in by_hand[0]
    assert explain_job(["Quantizing: 3/7"], 1) is None
    assert explain_job([], None) is None
    missing = explain_job([], 127)
    assert missing is not None
    assert missing[0] == "the image has no python3"


def test_what_a_script_says_itself_comes_first() -> None:
    log = ['{"phase": "import"}', "WARNING No space left on device: cache off", "error: way x runs no text: use way y"]
    assert explain_job(log, 2) == ("way x runs no text: use way y", "")
    assert explain_job(["OSError: [Errno 28] No space left on device", "nothing of the kind"], 2) is not None
