"""Whether a job fits, as an operator reads it: its peak, the room for its product, and every way out."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import InputError, ProblemsError
from sparkctl.base.units import GIB
from sparkctl.cli.output import Output
from sparkctl.memory.job.peak import JobInputSize
from sparkctl.operations.jobs.memory.admission import JobDoesNotFitError, admission, admitted
from sparkctl.operations.jobs.memory.need import JobNeed, claim_labels, need
from sparkctl.operations.jobs.memory.peaks import keep_peak
from sparkctl.recipes.job.reading import input_source, load_job
from sparkctl.world import labels
from sparkctl.world.host import Gpu
from tests.support import gemma4
from tests.support.fake_world import FakeSpark
from tests.support.job_files import run_job, write_job, write_model

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.recipes.job.loaded import LoadedJob

NAME = "quantize-26b"
CARDS = [Gpu("NVIDIA H200", None, "9.0", 140 * GIB, uuid=f"GPU-{at}", free_bytes=139 * GIB, number=at) for at in (0, 1)]


class Bench:
    """A Spark with one job, whose input is 48 GiB in ten files that are holes."""

    def __init__(self, folder: Path) -> None:
        self.spark = FakeSpark(folder)
        self.model = folder / "model"
        write_model(self.model, gemma4.source("26b"), shards=10)
        self.err = io.StringIO()
        self.write()

    def write(self, **changes: object) -> None:
        write_job(self.spark.folder, NAME, **{"input": {"path": str(self.model)}, **changes})

    @property
    def world(self) -> World:
        return self.spark.world(Output(io.StringIO(), self.err))

    def loaded(self, *overrides: str) -> LoadedJob:
        return load_job(self.world.catalog, NAME, overrides)

    def need(self, *overrides: str) -> JobNeed:
        loaded = self.loaded(*overrides)
        return need(self.world, loaded, input_source(loaded, self.world.ports.models, self.world.operator))

    def refused(self, *overrides: str, before: tuple[str, ...] = ()) -> list[str]:
        with pytest.raises(JobDoesNotFitError) as refused:
            admitted(self.world, self.loaded(*overrides), self.need(*overrides), before=before)
        assert refused.value.exit_code == 3
        return refused.value.message.splitlines()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_peak_is_that_of_the_rule_for_models_with_experts_and_says_so(bench: Bench) -> None:
    found = bench.need()
    weights = sum(one.bytes for one in gemma4.source("26b").tensors)
    assert found.peak_bytes == round(0.5 * GIB + 1.85 * weights)
    assert found.peak.parts == "0.5 GiB for the tool itself + 1.85 times the weights of 48.1 GiB"
    assert found.peak.source == "the same"
    assert found.doubt.startswith("measured on a CPU, with the mapped source; what copies on a GPU take beside it")
    assert bench.need("gpus=none").doubt == ""


def test_room_on_the_disk_is_the_product_of_the_headers_and_a_tenth_more(bench: Bench) -> None:
    found = bench.need("with.ignore=['re:.*vision_tower.*', 're:.*router.*', 're:.*embed_vision.*']")
    assert found.product_bytes == pytest.approx(27.1e9, rel=0.01)
    assert found.disk_bytes == round((found.product_bytes or 0) * 1.1)
    assert bench.need("disk=40 GB").disk_bytes == 40 * 10**9
    assert bench.need("with.scheme=MY_OWN", "memory={peak: 3 GiB, source: mine}").disk_bytes is None


def test_what_earlier_runs_took_here_replaces_the_estimate_and_what_the_job_says(bench: Bench) -> None:
    loaded, size = bench.loaded(), bench.need().size
    assert size is not None
    for count in (30 * GIB, 40 * GIB):
        keep_peak(bench.world, loaded, size, count)
    found = bench.need()
    assert found.peak_bytes == round(42 * GIB)
    assert found.peak.parts == "40.0 GiB, the most of 2 runs of it on this host, and 2.0 GiB of margin"
    assert found.doubt == ""
    assert not found.peak.estimated
    said = bench.need("memory={peak: 50 GiB, source: me}")
    assert said.peak_bytes == 50 * GIB, "who says it now, knows what was measured"
    assert bench.need("with.way=model-free").peak.estimated, "another way takes another amount"
    assert bench.need("gpus=none").peak.estimated, "so does a run without the GPU"
    keep_peak(bench.world, loaded, JobInputSize(1, None, experts=True, source=""), 99 * GIB)
    assert bench.need() == found, "nor does another input count"
    bench.spark.host.total = 64 * GIB
    assert bench.need().peak.estimated, "nor another machine"


def test_a_record_that_is_damaged_is_passed_over(bench: Bench) -> None:
    size = bench.need().size
    assert size is not None
    keep_peak(bench.world, bench.loaded(), size, 30 * GIB)
    (record,) = bench.spark.store.records("job-peak")
    bench.spark.store.add(record._replace(text="{"))
    assert not bench.need().peak.estimated
    assert "warning: a job-peak that was kept is ignored" in bench.err.getvalue()


def test_what_was_measured_can_be_forgotten(bench: Bench) -> None:
    size = bench.need().size
    assert size is not None
    keep_peak(bench.world, bench.loaded(), size, 30 * GIB)
    assert f"{NAME}: 1 measurement forgotten" in bench.spark.run("measurements", "list", "--forget", NAME).err
    assert bench.need().peak.estimated


def test_a_peak_that_the_job_says_is_taken_as_it_is(bench: Bench) -> None:
    found = bench.need("memory={peak: 30 GiB, source: my own run}")
    assert (found.peak_bytes, found.peak.parts, found.peak.source) == (30 * GIB, "as the job says", "my own run")
    half = bench.need("memory={base: 1 GiB, input: 0.5, source: my own run}")
    assert half.peak.parts == "1.0 GiB for the tool itself + 0.5 times the weights of 48.1 GiB"


def test_a_job_of_which_nobody_says_what_it_takes_is_refused_at_its_line(bench: Bench) -> None:
    bench.write(memory="auto", **{"with": {"way": "by hand", "scheme": "FP8_DYNAMIC"}})
    with pytest.raises(ProblemsError) as refused:
        bench.need()
    message = str(refused.value)
    assert "the script quantize does not say what it takes with way: by hand, scheme: FP8_DYNAMIC" in message
    assert f"{NAME}.yaml:1:" in message


def test_a_model_that_is_not_here_is_counted_by_its_facts(bench: Bench) -> None:
    bench.write(input={"repo": "google/gemma-4-26B-A4B-it", "facts": "gemma-4-26b-a4b"})
    found = bench.need()
    assert found.size is not None
    assert found.size.bytes == pytest.approx(51.5e9, rel=0.01)
    assert "whose files are not known" in bench.need("with.way=model-free").peak.parts
    bench.write(input={"repo": "nobody/knows-this"})
    with pytest.raises(InputError, match="the hub has not answered"):
        bench.need()
    bench.write(input={"path": str(bench.model / "away")})
    bench.spark.models.missing["away"] = "is not there"
    with pytest.raises(InputError, match="nothing is known of the weights that it reads"):
        bench.need()


def test_a_job_that_fits_is_admitted_and_its_labels_claim_its_peak(bench: Bench) -> None:
    found = bench.need()
    admitted(bench.world, bench.loaded(), found)
    record = labels.read(claim_labels(found))
    assert (record.claim_bytes, record.peak_bytes, record.gpus) == (found.peak_bytes, found.peak_bytes, None)
    assert admission(bench.world, bench.loaded(), found).reasons == []


def test_a_job_that_does_not_fit_is_refused_with_the_sum_and_its_lighter_way(bench: Bench) -> None:
    bench.spark.host.available = 60 * GIB
    lines, parts = bench.refused(), "0.5 GiB for the tool itself + 1.85 times the weights of 48.1 GiB"
    assert lines == [
        "job quantize-26b does not fit: 39.4 GiB are missing when it starts",
        "      60.0 GiB  available, of 120.0 GiB",
        "  -   10.0 GiB  reserve",
        f"  -   89.4 GiB  job quantize-26b at its peak: {parts}",
        "  =  -39.4 GiB",
        "it fits with one file at a time (11.5 GiB in place of 89.4 GiB) for job quantize-26b:",
        "    sparkctl job run quantize-26b --set with.way=model-free",
    ]


def test_the_commands_keep_what_was_asked_and_sparkctls_own_options(bench: Bench) -> None:
    bench.spark.host.available = 60 * GIB
    bench.write(lighter={"words": "less", "set": {"with.way": "model-free", "with.ignore": ["a b"], "timeout": "2h"}})
    lines = bench.refused("timeout=1h", "output=/models/x", before=("--engine", "docker"))
    assert lines[-1] == (
        "    sparkctl --engine docker job run quantize-26b --set output=/models/x --set with.way=model-free "
        """--set 'with.ignore=["a b"]' --set 'timeout="2h"'"""
    )


def test_a_lighter_way_that_cannot_be_used_is_said_beside_the_refusal(bench: Bench) -> None:
    bench.spark.host.available = 60 * GIB
    bench.write(lighter={"words": "less", "set": {"with.colour": "red"}})
    lines = bench.refused()
    assert lines[0].startswith("job quantize-26b does not fit")
    assert lines[-1] == "no lighter way of it, and nothing that can be stopped, makes it fit"
    assert "warning: the lighter way of quantize-26b cannot be used: " in bench.err.getvalue()


def test_what_runs_may_be_stopped_services_by_down_and_jobs_by_job_stop(bench: Bench) -> None:
    bench.spark.models.cache.add("RedHatAI/gemma-4-26B-A4B-it-FP8-Dynamic")
    bench.spark.run("up", "26b-a4b-fp8").expect(0)
    run_job(bench.spark.engine, "other", claim=40 * GIB)
    bench.write(lighter=None)
    lines = bench.refused()
    assert any("claimed by job other and not yet taken" in line for line in lines)
    assert lines[-2:] == [
        "it fits with job other and 26b-a4b-fp8 stopped:",
        "    sparkctl down 26b-a4b-fp8 && sparkctl job stop other && sparkctl job run quantize-26b",
    ]


def test_without_a_way_that_is_said(bench: Bench) -> None:
    bench.spark.host.available = 12 * GIB
    bench.write(lighter=None)
    assert bench.refused()[-1] == "no lighter way of it, and nothing that can be stopped, makes it fit"


def test_room_that_is_missing_on_the_disk_is_told_with_what_to_do(bench: Bench) -> None:
    bench.spark.host.disk_free = 20 * GIB
    lines = bench.refused("disk=30 GiB")
    assert lines[0] == (
        "quantize-26b: 10.0 GiB of disk are missing for /home/operator/models/made: 30.0 GiB are needed, and 20.0 GiB "
        "are free there"
    )
    assert lines[-1] == (
        "  free some, or name a folder on another disk: sparkctl job run quantize-26b --set output=FOLDER"
    )


def test_on_a_gpu_with_its_own_memory_a_job_counts_for_both_and_says_why(bench: Bench) -> None:
    bench.spark.host.gpu = CARDS
    bench.spark.profile = None
    found = bench.need("gpus=1")
    assert found.cards == ("GPU-1",)
    assert "so it counts for both" in found.doubt
    record = labels.read(claim_labels(found))
    on = found.peak_bytes - GIB // 2
    assert (record.gpus, record.gpu_claim_bytes, record.claim_bytes) == (("GPU-1",), on, on + found.peak_bytes)
    admitted(bench.world, bench.loaded("gpus=1"), found)
    assert bench.need("gpus=none").cards == ()
    with pytest.raises(InputError, match="quantize-26b: gpus: there is no GPU 7"):
        bench.need("gpus=7")


def test_another_gpu_is_a_way_out(bench: Bench) -> None:
    bench.spark.host.gpu = [CARDS[0]._replace(free_bytes=50 * GIB), CARDS[1]]
    bench.spark.profile = None
    bench.write(lighter=None)
    lines = bench.refused("gpus=0")
    assert lines[0].startswith("job quantize-26b does not fit on GPU 0 (NVIDIA H200)")
    assert "    sparkctl job run quantize-26b --set gpus=1" in lines
