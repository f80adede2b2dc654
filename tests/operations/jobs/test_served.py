"""A job whose product is served before it has its name: what is wrong with it, and what says nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.base.units import GIB
from tests.support.job_bench import JOB, JobBench

if TYPE_CHECKING:
    from pathlib import Path

PROOF = "e4b-nvfp4-proof"
RUN = ("job", "run", JOB, "--set", "serves=e4b-nvfp4", "--set", "checks=[whole, loads]")


@pytest.fixture
def bench(tmp_path: Path) -> JobBench:
    bench = JobBench(tmp_path)
    bench.spark.http.serving["127.0.0.1:8900"] = "gemma-4-e4b"
    return bench


def test_a_product_is_served_before_it_has_its_name_and_says_by_what(bench: JobBench) -> None:
    bench.spark.run(*RUN).expect(0)
    assert bench.provenance["checks"]["loads"].startswith("the recipe e4b-nvfp4 loads it and is ready")
    assert bench.spark.engine.calls.index(f"start {PROOF}") > bench.spark.engine.calls.index(
        f"start sparkctl-job-{JOB}"
    )
    (mounted,) = [mount.source for mount in bench.spark.engine.specs[PROOF].mounts if ".partial-" in str(mount.source)]
    assert not bench.left
    assert str(mounted).startswith(str(bench.output))


def test_a_product_that_does_not_load_gets_no_name(bench: JobBench) -> None:
    bench.spark.engine.on_start[PROOF] = lambda started: started._replace(state="exited", exit_code=1)
    bench.spark.engine.prints[PROOF] = ["KeyError: 'layers.0.router.proj.weight_scale'"]
    said = bench.spark.run(*RUN).expect(7).err
    assert "loads: the recipe e4b-nvfp4 does not come up with it" in said
    assert "the checkpoint's router is quantized" in said
    assert not bench.output.exists()
    assert not bench.left


def test_a_product_that_there_is_no_room_to_serve_waits_for_it(bench: JobBench) -> None:
    bench.spark.host.available = 12 * GIB
    refused = bench.spark.run(*RUN).expect(3)
    assert "no room to serve the product and check it" in refused.err
    assert not bench.output.exists()
    assert len(bench.left) == 3, "the container, its record and its folder"
    bench.spark.host.available = 110 * GIB
    before = len(bench.spark.engine.calls)
    assert "its product is checked" in bench.spark.run(*RUN).expect(0).err
    assert f"start sparkctl-job-{JOB}" not in bench.spark.engine.calls[before:]
    assert bench.output.is_dir()
    assert not bench.left
