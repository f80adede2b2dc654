"""A job's container on a real Docker Engine: counted by its labels and by what its processes hold, while it runs."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.units import GIB, MIB
from sparkctl.world.job_labels import JobLabels
from sparkctl.world.labels import ServiceLabels
from tests.support.job_files import write_job

if TYPE_CHECKING:
    from tests.support.docker_spark import Spark

pytestmark = pytest.mark.docker
HOLDS = 300 * MIB
PROGRAM = f"held = bytearray({HOLDS}); held[::4096] = b'x' * len(held[::4096]); import time; time.sleep(600)"


def start(spark: Spark, job: str) -> str:
    """Let a container run as a job's does, which claims 1 GiB and holds 300 MiB."""
    labels = JobLabels(job, "1", "0" * 12, "/models/a", "/models/b.partial-1", "/models/b").to_labels()
    labels |= ServiceLabels(claim_bytes=GIB, peak_bytes=GIB).to_labels()
    given = [word for label, text in labels.items() for word in ("--label", f"{label}={text}")]
    image = ("--entrypoint", "python3", "sparkctl-test/standin:latest", "-c", PROGRAM)
    return spark.docker("run", "--detach", "--name", f"sparkctl-job-{job}", "--network=none", *given, *image)


def claimed(spark: Spark, job: str, larger: str) -> float | None:
    """Return the GiB that a refusal of a larger job counts for one that runs, None where it is not in the sum."""
    told = spark.run("job", "plan", larger).expect(3).err
    found = re.search(rf"([\d.]+) GiB  claimed by job {job} and not yet taken", told)
    return None if found is None else float(found[1])


def test_a_job_counts_while_it_runs_by_its_claim_less_what_it_holds(docker_spark: Spark) -> None:
    spark = docker_spark
    job = f"{spark.prefix}-small"
    larger = f"{spark.prefix}-larger"
    memory = {"peak": "4 TiB", "source": "this test"}
    write_job(spark.folder, larger, memory=memory, input={"path": str(spark.model)}, gpus="none")
    container = start(spark, job)
    rest = pytest.approx((GIB - HOLDS) / GIB, abs=0.06)  # Python itself holds 10 MiB
    end = time.monotonic() + 30
    while (left := claimed(spark, job, larger)) != rest and time.monotonic() < end:
        time.sleep(0.2)
    assert left == rest
    (row,) = [one for one in spark.run("ps", "--json").expect(0).json if one["name"] == job]
    assert (row["kind"], row["container"], row["claim_bytes"]) == ("job", f"sparkctl-job-{job}", GIB)
    refused = spark.run("down", job).expect(2)
    assert f"sparkctl job stop {job} ends it" in refused.err
    found = [one["found"] for one in spark.run("doctor", "--json").json if one["subject"] == f"job {job}"]
    assert len(found) == 1
    assert found[0].startswith("runs; claims 1.0 GiB until it ends, and holds 0.3 GiB now")
    spark.docker("kill", container)
    assert claimed(spark, job, larger) is None
    assert job not in spark.run("ps").expect(0).out
