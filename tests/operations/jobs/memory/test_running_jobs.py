"""A job that runs counts as a service that loads does, and is named as a job wherever services are listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.base.units import GIB
from sparkctl.world.host import Gpu, GpuProcess
from sparkctl.world.job_labels import LABEL_JOB_RECORD
from sparkctl.world.labels import LABEL_JOB
from tests.support.fake_world import FakeSpark
from tests.support.job_files import run_job

if TYPE_CHECKING:
    from pathlib import Path

NAME = "26b-a4b-fp8"
JOB = "quantize-26b"


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    spark = FakeSpark(tmp_path)
    spark.models.cache.add("RedHatAI/gemma-4-26B-A4B-it-FP8-Dynamic")
    return spark


def test_what_a_job_claims_is_kept_free_for_it_until_it_ends(spark: FakeSpark) -> None:
    run_job(spark.engine, JOB, claim=90 * GIB)
    spark.host.resident = {100: 20 * GIB}
    spark.host.available = 90 * GIB
    plan = spark.run("plan", NAME).expect(3)
    assert "70.0 GiB  claimed by job quantize-26b and not yet taken" in plan.err
    assert "it fits with job quantize-26b stopped:" in plan.err
    assert f"    sparkctl job stop quantize-26b && sparkctl up {NAME}" in plan.err
    assert "70.0 GiB  claimed by job quantize-26b and not yet taken" in spark.run("up", NAME).expect(3).err
    (job,) = spark.engine.containers()
    spark.engine.there[job.id] = job._replace(state="exited")
    spark.host.resident, spark.host.available = {}, 110 * GIB
    spark.run("up", NAME).expect(0)


def test_a_job_of_which_the_claim_is_not_known_counts_as_what_it_holds(spark: FakeSpark) -> None:
    run_job(spark.engine, JOB, claim=None)
    spark.host.resident = {100: 20 * GIB}
    plan = spark.run("plan", NAME).expect(0)
    assert "the claim of job quantize-26b is not known: it counts as the 20.0 GiB that its processes hold" in plan.err
    told = spark.run("ps").expect(0)
    assert "warning: sparkctl-job-quantize-26b: sparkctl.claim: expected a number of bytes, found none" in told.err
    assert " unknown " in told.out


def test_a_service_is_not_started_again_into_the_room_of_a_job(spark: FakeSpark) -> None:
    spark.run("up", NAME).expect(0)
    run_job(spark.engine, JOB, claim=90 * GIB)
    spark.host.available = 109 * GIB
    told = spark.run("restart", NAME).expect(3)
    assert f"{NAME} is stopped, and is not started again" in told.err


def test_ps_lists_jobs_beside_services_and_json_has_their_kind(spark: FakeSpark) -> None:
    run_job(spark.engine, JOB, claim=26 * GIB)
    shown = spark.run("ps").expect(0).out
    assert "quantize-26b  running  -      job, makes /models/b  -    26.0 GiB" in shown
    (row,) = spark.run("ps", "--json").expect(0).json
    assert (row["kind"], row["name"], row["container"]) == ("job", JOB, "sparkctl-job-quantize-26b")
    assert (row["claim_bytes"], row["overrides"], row["url"], row["ready"]) == (26 * GIB, [], None, None)
    spark.run("up", NAME).expect(0)
    rows = spark.run("ps", "--json").expect(0).json
    assert [one["kind"] for one in rows] == ["service", "job"]
    assert rows[0].keys() == rows[1].keys()


def test_a_record_that_is_damaged_is_said(spark: FakeSpark) -> None:
    job = run_job(spark.engine, JOB, claim=26 * GIB)
    spark.engine.there[job.id] = job._replace(labels={**job.labels, LABEL_JOB_RECORD: "{"})
    told = spark.run("ps").expect(0)
    assert f"{LABEL_JOB_RECORD}: expected a job's record, found none" in told.err
    assert spark.run("ps", "--json").json[0]["overrides"] is None


@pytest.mark.parametrize("command", ["down", "status", "logs", "restart", "attach"])
def test_a_command_about_services_says_what_there_is_for_a_job(spark: FakeSpark, command: str) -> None:
    run_job(spark.engine, JOB, claim=26 * GIB)
    told = spark.run(command, JOB).expect(2).err
    assert "error: quantize-26b is a job that runs, and no service" in told
    assert "sparkctl job " in told
    assert spark.engine.container("sparkctl-job-quantize-26b") is not None


def test_everything_down_leaves_jobs_alone(spark: FakeSpark) -> None:
    run_job(spark.engine, JOB, claim=26 * GIB)
    spark.run("up", NAME).expect(0)
    spark.run("down", "--all").expect(0)
    assert [one.name for one in spark.engine.containers()] == ["sparkctl-job-quantize-26b"]


def test_doctor_names_the_jobs_and_what_they_keep(spark: FakeSpark) -> None:
    run_job(spark.engine, JOB, claim=26 * GIB)
    spark.host.resident = {100: 9 * GIB}
    found = {one["subject"]: one for one in spark.run("doctor", "--json").json}
    assert found["job quantize-26b"]["found"] == "runs; claims 26.0 GiB until it ends, and holds 9.0 GiB now"
    assert "sparkctl job stop quantize-26b" in found["job quantize-26b"]["fix"]


def test_a_jobs_processes_are_no_strangers_on_a_gpu(spark: FakeSpark) -> None:
    spark.profile = None
    spark.host.gpu = [Gpu("NVIDIA H200", None, "9.0", 140 * GIB, uuid="GPU-0", free_bytes=80 * GIB, number=0)]
    run_job(spark.engine, JOB, claim=100 * GIB, gpus=["GPU-0"], on_gpus=50 * GIB)
    spark.host.on_gpus = [GpuProcess(0, 100, 30 * GIB, "python3", "me"), GpuProcess(0, 7, 29 * GIB, "other", "you")]
    told = spark.run("plan", NAME, "--json")
    assert told.json["strangers"] == ["GPU 0 (NVIDIA H200): other (process 7 of you) holds 29.0 GiB"]
    assert told.json["pool"]["gpus"][0]["foreign_bytes"] == 30 * GIB, "60 are in use, of which the job holds 30"


def test_a_server_that_measures_the_free_memory_waits_until_a_job_has_ended(spark: FakeSpark) -> None:
    job = run_job(spark.engine, JOB, claim=5 * GIB)
    spark.clock.dies = lambda: spark.engine.there.pop(job.id)
    told = spark.run("up", NAME, "--set", "memory={utilization: 0.4}").expect(0).err
    assert f"{NAME}: waiting: the job {JOB} runs, and {NAME} sizes its cache by the memory that it finds free" in told
    assert f"sparkctl job stop {JOB} ends it" in told


def test_a_server_whose_cache_is_sized_by_bytes_starts_beside_a_job(spark: FakeSpark) -> None:
    run_job(spark.engine, JOB, claim=5 * GIB)
    assert "waiting" not in spark.run("up", NAME).expect(0).err


def test_a_label_that_is_copied_or_damaged_hides_no_claim(spark: FakeSpark) -> None:
    first = run_job(spark.engine, JOB, claim=20 * GIB)
    for name, label in (("copied", JOB), ("damaged", "a\x1b[31m b")):
        odd = first._replace(id=name, name=name, labels={**first.labels, LABEL_JOB: label})
        spark.engine.there[name] = odd
    rows = spark.run("ps", "--json").expect(0).json
    assert [row["name"] for row in rows] == ["copied", "damaged", JOB]
    spark.host.available = 70 * GIB
    told = spark.run("plan", NAME).expect(3).err
    assert told.count("20.0 GiB  claimed by job ") == 3
    assert "\x1b[31m" not in told
