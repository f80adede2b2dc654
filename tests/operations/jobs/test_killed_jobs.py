"""kill -9 after each change that a job's command makes, over fakes: the next command puts it right.

The same on a real engine: tests/operations/jobs/test_jobs_on_docker.py.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.jobs.clean import clean
from sparkctl.operations.jobs.run import RunOptions, run
from sparkctl.operations.jobs.stop import stop
from tests.support.dying import KilledError, Life, mortal
from tests.support.fakes import FakeReport
from tests.support.job_bench import JOB, JobBench
from tests.support.thorough import only_thorough, part

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sparkctl.operations.context import World

FEWEST = 8
"""Changes of a whole run: record, script, folder, container, start, hand over, provenance, two names, and away."""


def a_run(world: World) -> None:
    run(world, JOB, RunOptions())


def a_stop(world: World) -> None:
    stop(world, [JOB])


def a_clean(world: World) -> None:
    clean(world, images=False, remove=True)


def killed(bench: JobBench, command: Callable[[World], None], last: int) -> Life:
    """Run a command that dies after its ``last`` change, as another process."""
    bench.spark.locks.me = "gone"
    life = Life(last)
    with suppress(KilledError):
        command(mortal(bench.spark.world(FakeReport()), life))
    bench.spark.locks.me = "me"
    bench.spark.locks.working.clear()  # the kernel lets go of what a process held
    return life


def models(bench: JobBench) -> list[str]:
    """Return the folders that a vLLM would take for a model, but for those that are named as unfinished."""
    found = [path.parent.name for path in (bench.folder / "models").glob("*/config.json")]
    return sorted(name for name in found if ".partial-" not in name)


def each_kill(tmp_path: Path, command: Callable[[World], None], before: Callable[[JobBench], None]) -> list[JobBench]:
    """Return a bench for each change of a command, on which it was killed after that change."""
    whole = JobBench(tmp_path / "whole")
    before(whole)
    count = killed(whole, command, 0).count
    benches = []
    for last in range(1, count + 1):
        benches.append(JobBench(tmp_path / f"after-{last}"))
        before(benches[-1])
        assert killed(benches[-1], command, last).over
    return benches


def nothing(_: JobBench) -> None:
    """Do nothing before."""


def test_after_a_kill_at_any_moment_a_run_makes_the_product(tmp_path: Path) -> None:
    benches = each_kill(tmp_path, a_run, nothing)
    assert len(benches) >= FEWEST
    for bench in benches:
        before = models(bench)
        assert before == ["source"] or (before == ["made", "source"] and bench.provenance["checks"])
        bench.spark.run("job", "run", JOB).expect(0)
        assert (bench.left, models(bench)) == ([], ["made", "source"])


@only_thorough
def test_after_a_kill_at_any_moment_clean_leaves_only_what_can_be_finished(tmp_path: Path) -> None:
    finished = 0
    for bench in each_kill(tmp_path, a_run, nothing):
        done = bench.spark.run("job", "clean", "--yes").expect(0)
        if bench.left:
            assert "has ended well, and is not checked yet" in done.err
            finished += 1
            bench.spark.run("job", "run", JOB).expect(0)
        assert bench.left == []
        assert models(bench) in (["source"], ["made", "source"])
    assert finished


def failed(bench: JobBench) -> None:
    """Leave a run that failed, whose command was killed while it ran."""
    bench.code, bench.runs = 1, True
    bench.spark.clock.interrupt_at = 1.0
    bench.spark.locks.me = "gone"
    with pytest.raises(KeyboardInterrupt):
        run(bench.spark.world(FakeReport()), JOB, RunOptions(left=lambda: True))
    bench.end()
    bench.code, bench.runs = 0, False


@pytest.mark.parametrize("command", part([a_stop, a_clean], 0))
def test_after_a_kill_of_what_removes_the_next_one_removes_the_rest(
    command: Callable[[World], None], tmp_path: Path
) -> None:
    benches = each_kill(tmp_path, command, failed)
    assert benches
    for bench in benches:
        bench.spark.run("job", "clean", "--yes").expect(0)
        assert (bench.left, models(bench)) == ([], ["source"])


@only_thorough
def test_after_a_kill_of_a_run_that_begins_anew_the_next_one_makes_the_product(tmp_path: Path) -> None:
    for bench in each_kill(tmp_path, a_run, failed):
        bench.spark.run("job", "run", JOB).expect(0)
        assert (bench.left, models(bench)) == ([], ["made", "source"])


def test_after_a_kill_at_any_moment_stop_leaves_nothing_but_a_product_that_has_its_name(tmp_path: Path) -> None:
    for bench in each_kill(tmp_path, a_run, nothing):
        bench.spark.run("job", "stop", JOB).expect(0)
        assert bench.left == []
        assert models(bench) in (["source"], ["made", "source"])
