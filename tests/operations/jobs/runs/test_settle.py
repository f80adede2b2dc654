"""What becomes of a run that a command finds: a row for each state of its container."""

from __future__ import annotations

import pytest

from sparkctl.operations.jobs.runs.settle import FoundRun, Settling, settling
from sparkctl.world.engine import Container
from sparkctl.world.job_labels import JobLabels

OUTPUT = "/models/m"
LABELS = JobLabels("shrink", "0123456789ab", "d1", "/models/s", f"{OUTPUT}.partial-0123456789ab", OUTPUT)


def found(state: str, *, well: bool = False, worked_on: bool = False, labels: JobLabels | None = LABELS) -> FoundRun:
    return FoundRun(Container("id", "sparkctl-job-shrink", "i", "i", state, {}), labels, well, worked_on)


@pytest.mark.parametrize(
    ("run", "digest", "step"),
    [
        (FoundRun(), "d1", Settling.BEGIN),
        (found("running"), "d1", Settling.JOIN),
        (found("paused"), "d1", Settling.JOIN),
        (found("running"), "d2", Settling.OTHER),
        (found("running", labels=None), "d1", Settling.OTHER),
        (found("running", worked_on=True), "d1", Settling.BUSY),
        (found("exited", worked_on=True, well=True), "d1", Settling.BUSY),
        (found("created"), "d1", Settling.REMOVE),
        (found("created", worked_on=True), "d1", Settling.BUSY),
        (found("exited", well=True), "d1", Settling.FINISH),
        (found("exited", well=True), "d2", Settling.OTHER),
        (found("exited", well=True, labels=None), "d1", Settling.REMOVE),
        (found("exited"), "d1", Settling.REMOVE),
        (found("exited"), "d2", Settling.REMOVE),
        (found("dead"), "d1", Settling.REMOVE),
    ],
)
def test_a_run_is_joined_finished_removed_or_left_alone(run: FoundRun, digest: str, step: Settling) -> None:
    assert settling(run, digest, OUTPUT) is step
    assert run.useless == (step is Settling.REMOVE)


def test_a_run_that_makes_another_folder_is_left_alone() -> None:
    assert settling(found("running"), "d1", "/models/other") is Settling.OTHER
    assert settling(found("exited", well=True), "d1", "/models/other") is Settling.OTHER
