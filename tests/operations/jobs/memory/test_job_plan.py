"""``sparkctl job plan``: everything that a job takes and that is in its way, before anything is touched."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pytest

from sparkctl import Spark
from sparkctl.base.units import GIB
from sparkctl.cli.output import Output
from tests.support import gemma4
from tests.support.fake_world import FakeSpark
from tests.support.job_files import run_job, write_job, write_model
from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

NAME = "quantize-26b"
KEPT = ["re:.*vision_tower.*", "re:.*router.*", "re:.*embed_vision.*"]


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    """Return a Spark with one job, whose input is 48 GiB in ten files that are holes."""
    spark = FakeSpark(tmp_path)
    model = tmp_path / "model"
    write_model(model, gemma4.source("26b"), shards=10)
    given = {"scheme": "FP8_DYNAMIC", "ignore": KEPT}
    write_job(tmp_path, NAME, input={"path": str(model)}, output=str(tmp_path / "made"), **{"with": given})
    spark.engine.images["python:3.12-slim"] = {}
    return spark


def test_a_job_that_fits_is_shown_whole_and_nothing_is_touched(spark: FakeSpark) -> None:
    told = spark.run("job", "plan", NAME).expect(0)
    made, model = spark.folder / "made", spark.folder / "model"
    first, source, disk, image, read, output, *_ = told.out.splitlines()
    assert first == (
        "memory  89.4 GiB at its peak, estimated: 0.5 GiB for the tool itself + 1.85 times the weights of 48.1 GiB"
    )
    assert source == "        (the same)"
    assert disk == "disk    27.8 GiB, for a product of 25.3 GiB; free there: 500.0 GiB"
    assert image == "image   python:3.12-slim, there"
    assert read == f"input   {model}, weights of 48.1 GiB by the safetensors headers in {model}"
    assert output == f"output  {made}, not there yet"
    assert "memory: 110.0 GiB available of 120.0 GiB, 10.0 GiB kept in reserve" in told.out
    assert told.out.endswith("\nfits\n")
    assert "warning: the peak: measured on a CPU, with the mapped source" in told.err
    assert not made.exists()
    assert all(not call.startswith(("create", "pull")) for call in spark.engine.calls)


def test_a_job_that_does_not_fit_exits_3_with_the_sum_the_bar_and_the_ways(spark: FakeSpark) -> None:
    spark.host.available = 60 * GIB
    told = spark.run("--profile", "gb10", "job", "plan", NAME).expect(3)
    assert "error: job quantize-26b does not fit: 39.4 GiB are missing when it starts" in told.err
    assert "it fits with one file at a time (11.5 GiB in place of 89.4 GiB) for job quantize-26b:" in told.err
    assert "    sparkctl --profile gb10 job run quantize-26b --set with.way=model-free" in told.err
    assert "\nfits\n" not in told.out
    spark.run("job", "plan", NAME, "--set", "with.way=model-free").expect(0)


def test_room_that_is_missing_on_the_disk_exits_3_too(spark: FakeSpark) -> None:
    spark.host.disk_free = 20 * GIB
    told = spark.run("job", "plan", NAME).expect(3)
    assert "7.8 GiB of disk are missing" in told.err
    assert "does not fit: " not in told.err


def test_json_has_it_all_for_a_program(spark: FakeSpark) -> None:
    run_job(spark.engine, "other", claim=50 * GIB)
    told = spark.run("job", "plan", NAME, "--json").expect(3)
    row = told.json
    assert (row["name"], row["fits"], row["runs"], row["jobs"]) == (NAME, False, False, ["other"])
    assert row["disk_bytes"] == round(row["product_bytes"] * 1.1)
    assert row["peak"]["estimated"] is True
    assert row["ways"][0]["command"] == "sparkctl job run quantize-26b --set with.way=model-free"
    assert row["reasons"][0].startswith("job quantize-26b does not fit")
    assert row["pool"]["total_bytes"] == 120 * GIB
    assert row["image_there"] is True
    (documented,) = re.findall(
        r"`job plan NAME --json` [|] object [|] (.*) [|]", (REPOSITORY / "docs/json.md").read_text()
    )
    assert list(row) == re.findall(r"`(\w+)`", re.sub(r"\[?\{.*?\}\]?|\(.*?\)", "", documented))
    assert spark.run("job", "plan", NAME).out.count("the job other, which claims 50.0 GiB until it ends") == 1


def test_a_job_that_runs_already_needs_no_second_room(spark: FakeSpark) -> None:
    run_job(spark.engine, NAME, claim=90 * GIB)
    told = spark.run("job", "plan", NAME).expect(0)
    assert told.out.endswith("\nit runs already\n")
    row = spark.run("job", "plan", NAME, "--json").expect(0).json
    assert (row["runs"], row["reasons"]) == (True, [])


def test_what_would_stop_the_run_is_said_before(spark: FakeSpark) -> None:
    (spark.folder / "made").mkdir()
    told = spark.run("job", "plan", NAME).expect(0)
    assert f"`job run` would stop here: {spark.folder / 'made'} is there already, made by no job" in told.err
    given = {"repo": "google/gemma-4-26B-A4B-it", "facts": "gemma-4-26b-a4b"}
    write_job(spark.folder, NAME, input=given, image={"base": "python:3.13", "steps": [["a==1"]]})
    told = spark.run("job", "plan", NAME).expect(0)
    assert "would stop here: google/gemma-4-26B-A4B-it is not in the cache" in told.err
    assert "sparkctl download google/gemma-4-26B-A4B-it" in told.err
    assert "input   not here, weights of 48.1 GiB by its parameters by " in told.out
    assert "image   built on python:3.13, fetched or built when the job runs" in told.out


def test_an_output_that_lies_in_the_input_is_said_before_the_run(spark: FakeSpark) -> None:
    read, link = spark.folder / "model", spark.folder / "link"
    link.symlink_to(read)
    write_job(spark.folder, NAME, input={"path": str(read)}, output=str(link / "made"))
    told = spark.run("job", "plan", NAME)
    assert f"would stop here: the output {link / 'made'} and the input {read} lie one in the other" in told.err


def test_bad_names_and_values_are_errors_at_their_place(spark: FakeSpark) -> None:
    assert "no job" in spark.run("job", "plan", "quantise-26b").expect(2).err
    assert "with" in spark.run("job", "plan", NAME, "--set", "with.colour=red").expect(2).err
    spark.engine.elsewhere = "tcp://192.0.2.1"
    assert "the engine is not on this host" in spark.run("job", "plan", NAME).expect(4).err


def test_the_rendered_command_claims_the_peak_and_limits_the_memory_to_a_little_more(spark: FakeSpark) -> None:
    row = spark.run("job", "render", NAME, "--json").expect(0).json
    peak = spark.run("job", "plan", NAME, "--json").json["peak_bytes"]
    assert row["memory"] == peak + 256 * 2**20  # which is an estimate
    assert dict(row["labels"])["sparkctl.claim"] == str(peak)
    write_job(spark.folder, NAME, input={"path": "/models/away"})
    spark.models.missing["away"] = "is not there"
    told = spark.run("job", "render", NAME).expect(0)
    assert "what it takes is not known here, and the command limits no memory" in told.err
    assert "--memory" not in told.out


def test_a_program_gets_the_same_as_a_value(spark: FakeSpark) -> None:
    spark.host.available = 60 * GIB
    planned = Spark(spark.world(Output(io.StringIO(), io.StringIO()))).plan_job(NAME)
    assert not planned.fits
    assert planned.reasons[-1] == "    sparkctl job run quantize-26b --set with.way=model-free"
    assert planned.admission.need.product_bytes == pytest.approx(27.1e9, rel=0.01)
