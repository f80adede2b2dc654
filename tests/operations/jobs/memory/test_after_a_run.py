"""What a run of a job took is what the next is planned by, until one needs more."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.units import GIB, MIB
from tests.support.job_bench import JOB, JobBench, phases

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bench(tmp_path: Path) -> JobBench:
    return JobBench(tmp_path)


def done(resident: int) -> list[str]:
    return phases("import", "load", "quantize", "save", "done", layers=1, resident_bytes=resident)


def test_the_second_run_is_planned_by_what_the_first_took(bench: JobBench) -> None:
    assert bench.spark.run("job", "plan", JOB, "--json").json["peak_bytes"] == GIB
    bench.prints(done(300 * MIB))
    bench.spark.run("job", "run", JOB).expect(0)
    row = bench.spark.run("job", "plan", JOB, "--json").expect(0).json
    assert row["peak_bytes"] == 556 * MIB
    assert row["peak"] == {
        "parts": "0.3 GiB, the most of 1 run of it on this host, and 256.0 MiB of margin",
        "source": "measured here",
        "estimated": False,
    }
    shutil.rmtree(bench.output)
    bench.prints(done(400 * MIB))
    bench.spark.run("job", "run", JOB).expect(0)
    assert bench.spark.engine.created[-1].memory == 556 * MIB
    assert bench.spark.run("job", "plan", JOB, "--json").json["peak_bytes"] == 656 * MIB


def test_a_run_that_needs_more_forgets_what_was_measured(bench: JobBench) -> None:
    bench.prints(done(300 * MIB))
    bench.spark.run("job", "run", JOB).expect(0)
    shutil.rmtree(bench.output)
    bench.code, bench.oom = 137, True
    told = bench.spark.run("job", "run", JOB).expect(10).err
    assert "it needs more than the 556.0 MiB of memory that it may take" in told
    assert bench.spark.run("job", "plan", JOB, "--json").json["peak_bytes"] == GIB


def test_what_a_failed_run_took_counts_for_nothing(bench: JobBench) -> None:
    bench.prints(phases("import", "load", resident_bytes=300 * MIB))
    bench.code = 1
    bench.spark.run("job", "run", JOB).expect(10)
    assert bench.spark.run("job", "plan", JOB, "--json").json["peak"]["estimated"]
