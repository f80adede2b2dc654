"""A host whose GPUs have their own memory, over fakes: how it is read, planned on, started on, shown and refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.units import GIB
from sparkctl.memory.pool import HostProfile, Reserves
from sparkctl.operations.doctor import Reported, Status, examine
from sparkctl.operations.memory import machine
from sparkctl.operations.records import Records
from sparkctl.planning import calibration
from sparkctl.recipes.catalog import Catalog, Root, shipped_root
from sparkctl.world.engine import EngineInfo
from sparkctl.world.host import Gpu, GpuProcess
from sparkctl.world.labels import LABEL_CLAIM, LABEL_GPU_CLAIM, LABEL_GPU_PEAK, LABEL_GPUS, LABEL_PEAK
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeHost

if TYPE_CHECKING:
    from pathlib import Path

RTX = "NVIDIA GeForce RTX 5090"
CATALOG = Catalog([Root(shipped_root(), "shipped")])
RESERVES = Reserves(10 * GIB, 4 * GIB, (GIB,))


def gpu(number: int = 0, *, name: str | None = RTX, total: float | None = 32, free: float | None = 31) -> Gpu:
    sizes = [None if one is None else int(one * GIB) for one in (total, free)]
    return Gpu(name, "580.1", "12.0", sizes[0], uuid=f"GPU-{number}", free_bytes=sizes[1], number=number)


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    host = FakeHost(total=64 * GIB, available=56 * GIB, gpu=[gpu(0), gpu(1)])
    return FakeSpark(tmp_path, host=host, profile=None)


# --- how a host is read ----------------------------------------------------------------------------------------------


def test_each_card_has_a_pool_and_a_gb10_has_the_hosts() -> None:
    cards = machine.pool(FakeHost(gpu=[gpu(0), gpu(1, free=3)]), RESERVES)
    assert [(one.index, one.pool and one.pool.available_bytes // GIB) for one in cards.gpus] == [(0, 31), (1, 3)]
    assert cards.reserve_bytes == 4 * GIB
    mixed = machine.pool(FakeHost(gpu=[Gpu("NVIDIA GB10", None, None, None, number=0), gpu(1)]), RESERVES)
    assert [one.pool is not None for one in mixed.gpus] == [False, True]
    assert mixed.reserve_bytes == 10 * GIB, "a GPU shares the host's memory"
    assert list(mixed.memories) == ["host", "GPU-1"]


@pytest.mark.parametrize(
    ("found", "problem", "own"),
    [
        (gpu()._replace(mig=True), "it is divided into parts (MIG)", False),
        (gpu(total=None, free=None), "NVML does not say how much memory it has", False),
        (gpu(name="NVIDIA Thor", total=None, free=None), "", False),
        (gpu(name=None), "", True),
        (gpu(name="NVIDIA GB10"), "", False),
    ],
)
def test_a_gpu_of_which_nvml_says_half_is_planned_on_or_says_why(found: Gpu, problem: str, *, own: bool) -> None:
    (one,) = machine.pool(FakeHost(gpu=[found]), RESERVES).gpus
    assert one.problem.startswith(problem)
    assert bool(one.problem) == bool(problem) == bool(one.fix)
    assert (one.pool is not None) == own


def test_the_profile_follows_from_the_kinds_of_the_gpus() -> None:
    def of(*gpus: Gpu) -> HostProfile:
        return machine.profile(CATALOG, gpus)

    gb10 = Gpu("NVIDIA GB10", None, None, None)
    assert of() == of(gb10) == CATALOG.load("host", "gb10", HostProfile)
    assert of(gpu()) == CATALOG.load("host", "rtx-5090", HostProfile)
    two = of(gpu(), gpu(1, name="NVIDIA GeForce RTX 4090"))
    assert [one.gpu for one in two.more_gpus] == ["rtx-4090"]
    mixed = of(gb10, gpu(1))
    assert (mixed.card.key, mixed.of_gpu(1).card.key, mixed.of_gpu(1).total) == ("gb10", "rtx-5090", two.total)
    unknown = of(gpu(name="NVIDIA GeForce RTX 5070 Ti", total=15.5))
    assert (unknown.card.name, unknown.total) == ("NVIDIA GeForce RTX 5070 Ti", int(15.5 * GIB))
    assert unknown.pool.gpus[0].pool is not None


def test_strangers_are_named_and_what_is_hidden_is_no_zero() -> None:
    pool = machine.pool(FakeHost(gpu=[gpu(0), gpu(1), gpu(2)]), RESERVES)
    processes = [
        GpuProcess(0, 616, int(20.5 * GIB), "python3", "bob"),
        GpuProcess(0, 7, GIB),
        GpuProcess(1, 9, None, "trainer", "eve"),
    ]
    hidden = "are held where NVML does not show by whom"
    told = machine.strangers(pool, processes, {7}, {"GPU-0": int(20.5 * GIB), "GPU-1": 5 * GIB, "GPU-2": 3 * GIB})
    assert told == [
        f"GPU 0 ({RTX}): python3 (process 616 of bob) holds 20.5 GiB",
        f"GPU 1 ({RTX}): trainer (process 9 of eve) holds an unknown amount, 5.0 GiB {hidden}",
        f"GPU 2 ({RTX}): 3.0 GiB {hidden}",
    ]


# --- plans and starts ------------------------------------------------------------------------------------------------


def test_a_plan_says_which_card_and_a_start_writes_it_down(spark: FakeSpark) -> None:
    shown = spark.run("plan", "e4b-nvfp4", "--set", "gpus=1").expect(0).out
    assert f"GPU 1 ({RTX}): 31.0 GiB available of 32.0 GiB, 1.0 GiB kept in reserve" in shown
    assert "the host's memory: 56.0 GiB available of 64.0 GiB" in shown
    spark.run("up", "e4b-nvfp4", "--set", "gpus=1").expect(0)
    container = spark.engine.container("e4b-nvfp4")
    assert container is not None
    assert container.labels[LABEL_GPUS] == '["GPU-1"]'
    assert int(container.labels[LABEL_GPU_CLAIM]) < int(container.labels[LABEL_CLAIM])
    assert int(container.labels[LABEL_GPU_PEAK]) < int(container.labels[LABEL_PEAK])


def test_on_a_spark_the_labels_are_as_they_were(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    spark.run("up", "e4b-nvfp4").expect(0)
    container = spark.engine.container("e4b-nvfp4")
    assert container is not None
    assert not {LABEL_GPUS, LABEL_GPU_CLAIM, LABEL_GPU_PEAK} & set(container.labels)


def test_what_runs_counts_on_its_card_and_another_service_goes_on_the_other(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    (pid,) = spark.engine.processes("e4b-nvfp4")
    spark.host.gpu[0] = gpu(0, free=12)
    spark.host.on_gpus = [GpuProcess(0, pid, 18 * GIB, "vllm")]
    refused = spark.run("plan", "e4b-fp8", "--set", "serve.port=9000").expect(3)
    assert f"e4b-fp8 does not fit on GPU 0 ({RTX})" in refused.err
    assert "it fits with e4b-fp8 on GPU 1" in refused.err
    assert "--set gpus=1" in refused.err
    assert spark.run("plan", "e4b-fp8", "--set", "serve.port=9000", "--set", "gpus=1").expect(0)
    plan = spark.run("plan", "e4b-nvfp4", "--json").expect(0).json
    assert [one["foreign_bytes"] // GIB for one in plan["pool"]["gpus"]] == [2, 1]
    status = spark.run("status", "e4b-nvfp4", "--json").expect(0).json
    assert (status["memory_bytes"], status["cards"]) == (18 * GIB, [{"gpu": f"GPU 0 ({RTX})", "bytes": 18 * GIB}])
    shown = spark.run("status", "e4b-nvfp4").expect(0).out
    assert f"18.0 GiB on GPU 0 ({RTX}), 0.0 GiB of the host's" in shown
    assert f"of it on GPU 0 ({RTX})" in spark.run("ps").expect(0).out


def test_a_stranger_on_the_card_is_seen_before_a_start_and_named(spark: FakeSpark) -> None:
    spark.host.gpu = [gpu(0, free=4)]
    spark.host.on_gpus = [GpuProcess(0, 616, int(27.5 * GIB), "python3", "bob")]
    refused = spark.run("up", "e4b-nvfp4").expect(3)
    assert f"does not fit on GPU 0 ({RTX})" in refused.err
    shown = spark.run("plan", "e4b-nvfp4").expect(3).out
    assert "python3 (process 616 of bob) holds 27.5 GiB" in shown
    assert spark.engine.containers() == []


def test_a_card_that_disappears_between_plan_and_start_is_said_and_nothing_is_left(spark: FakeSpark) -> None:
    spark.run("plan", "e4b-nvfp4", "--set", "gpus=1").expect(0)
    spark.host.gpu = [gpu(0)]
    done = spark.run("up", "e4b-nvfp4", "--set", "gpus=1").expect(2)
    assert f"e4b-nvfp4: gpus: there is no GPU 1 (this host has GPU 0 ({RTX})" in done.err.replace("\n  → ", " (")
    assert spark.engine.containers() == []


def test_a_service_whose_card_is_gone_is_counted_on_the_host_and_shown(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4", "--set", "gpus=1").expect(0)
    spark.host.gpu = [gpu(0)]
    spark.run("ps").expect(0)
    spark.run("plan", "e4b-fp8", "--set", "serve.port=9000").expect(0)


def test_a_claim_that_no_label_splits_is_unknown_on_the_card(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    (container,) = spark.engine.containers()
    kept = {name: text for name, text in container.labels.items() if name not in {LABEL_GPUS, LABEL_GPU_CLAIM}}
    spark.engine.there[container.id] = container._replace(labels=kept)
    (pid,) = spark.engine.processes("e4b-nvfp4")
    spark.host.on_gpus = [GpuProcess(0, pid, 18 * GIB)]
    plan = spark.run("plan", "e4b-fp8", "--set", "serve.port=9000", "--set", "gpus=1", "--json").expect(0).json
    assert any(f"the claim of e4b-nvfp4 of GPU 0 ({RTX}) is not known" in line for line in plan["unknown"])


def test_which_of_several_cards_that_differ_has_to_be_said(spark: FakeSpark) -> None:
    spark.host.gpu = [Gpu("NVIDIA GB10", None, None, None, uuid="GPU-0", number=0), gpu(1)]
    refused = spark.run("plan", "e4b-nvfp4").expect(2)
    assert "CUDA decides which" in refused.err
    assert "--set gpus=0" in refused.err
    on_spark = spark.run("plan", "e4b-nvfp4", "--set", "gpus=0", "--json").expect(0).json
    on_card = spark.run("plan", "e4b-nvfp4", "--set", "gpus=1", "--json").expect(0).json
    assert [one["services"][0]["gpus"] for one in (on_spark, on_card)] == [[0], [1]]


def test_a_fraction_of_another_cards_memory_is_refused(spark: FakeSpark) -> None:
    spark.host.gpu = [gpu(0, total=31.37)]
    asked = ["plan", "e4b-nvfp4", "--set", "memory={utilization: 0.7}", "--set", "args.language-model-only=true"]
    spark.run(*asked).expect(0)
    spark.profile = "gb10"
    refused = spark.run(*asked).expect(2)
    assert f"the profile says 119.6 GiB where GPU 0 ({RTX}) has 31.4 GiB" in refused.err


def test_a_cdi_device_that_the_engine_does_not_list_is_said_before_a_start(spark: FakeSpark) -> None:
    listed = spark.run("plan", "e4b-nvfp4", "--set", "gpus=cdi:nvidia.com/gpu=1", "--json").expect(0).json
    assert listed["services"][0]["gpus"] == [1]
    (said,) = [one for one in listed["obstacles"] if "CDI" in one]
    assert "e4b-nvfp4: no CDI device nvidia.com/gpu=1 in the engine, which lists none" in said


def test_a_start_is_measured_on_its_card_and_by_the_kind_of_card(spark: FakeSpark) -> None:
    spark.run("up", "e4b-nvfp4").expect(0)
    (kept,) = Records(spark.store).measurements()
    assert kept.host_total_bytes == (64 + 32 + 32) * GIB
    assert kept.available_before == (56 + 31) * GIB, "of the host and of its card"
    on_another = kept.key._replace(flags=tuple(one for one in kept.key.flags if one[0] != "card"))
    assert calibration.best([kept], kept.key) is not None
    assert calibration.best([kept], on_another) is None, "another kind of GPU teaches nothing"
    again = spark.run("plan", "e4b-nvfp4", "--replace", "--json").expect(0).json["services"][0]
    assert again["known"].startswith("measured here on"), "a machine of all its memories together"


# --- described machines ----------------------------------------------------------------------------------------------

BOX = """
gpu: gb10
total: 119.6 GiB
more-gpus:
  - {gpu: rtx-5090, total: 31.37 GiB}
"""


def test_a_described_mixed_box_plans_each_service_where_it_goes(spark: FakeSpark) -> None:
    path = spark.folder / "box.yaml"
    path.write_text(BOX)
    at = ["--host", str(path), "--json"]
    on_spark = spark.run("plan", "26b-a4b-nvfp4", "--set", "gpus=0", *at).expect(0).json
    on_card = spark.run("plan", "e4b-nvfp4", "--set", "gpus=1", *at).expect(0).json
    whole, small = (one["services"][0]["gpu_memory_utilization"] for one in (on_spark, on_card))
    assert small > 0.5, "of 31.37 GiB, not of 119.6"
    assert whole < 0.5
    spark.run("plan", "26b-a4b-fp8", "--set", "gpus=1", "--set", "limits.context=131072", *at).expect(3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("total: 24 GiB\ngpu: rtx-4090\nreserve: 30 GiB\n", "a GPU of 24.0 GiB is no larger than the reserve of 30.0"),
        (
            "total: 24 GiB\ngpu: rtx-4090\nhost-total: 3 GiB\n",
            "a main memory of 3.0 GiB is no larger",
        ),
        ("total: 119 GiB\nmore-gpus: [{gpu: h200}]\n", "more-gpus[0].total: expected the GPU's memory"),
        ("total: 119 GiB\nmore-gpus: [{gpu: h200, total: 1 GiB, reserve: 2 GiB}]\n", "no larger than its reserve"),
    ],
)
def test_a_profile_that_cannot_be_says_where(spark: FakeSpark, text: str, said: str) -> None:
    path = spark.folder / "wrong.yaml"
    path.write_text(text)
    assert said in spark.run("recipes", "lint", str(path)).expect(2).err


# --- doctor ----------------------------------------------------------------------------------------------------------


def test_doctor_has_the_right_words_for_cards() -> None:
    host = FakeHost(total=64 * GIB, available=56 * GIB, gpu=[gpu(0), gpu(1, free=0.5), gpu(2)._replace(mig=True)])
    host.on_gpus = [GpuProcess(0, 616, 3 * GIB, "python3", "bob"), GpuProcess(1, 9, None)]
    engine = EngineInfo("docker", "id", "29.2.1", runtimes=("nvidia",))
    pool = machine.pool(host, RESERVES)
    reported = Reported(engine, host.gpu, host.gpu_processes(), host.memory(), pool, {}, earlyoom=False)
    found = {one.subject: one for one in examine(reported)}
    assert found["gpu 0"].status is Status.OK
    assert "memory 32.0 GiB, 31.0 GiB free; 30.0 GiB above the reserve" in found["gpu 0"].found
    assert found["gpu 1"].consequence == "less than the reserve of 1.0 GiB: nothing can be admitted on it"
    assert "divided into parts (MIG)" in found["gpu 2"].found
    assert "nvidia-smi -i 2 -mig 0" in found["gpu 2"].fix
    assert found["profile"].found == "for NVIDIA GB10"
    held = "GPU 0: python3 (process 616 of bob): 3.0 GiB, GPU 1: process 9: not reported"
    assert found["gpu memory by process"].found == held
    assert "guard" not in found, "it is a Spark that freezes"
    spark = pool._replace(gpus=(replace(pool.gpus[0], pool=None), *pool.gpus[1:]))
    assert "guard" in {one.subject for one in examine(reported._replace(pool=spark))}


def test_a_gpu_that_is_nobodys_is_an_error_of_the_service_that_asks_for_it(spark: FakeSpark) -> None:
    spark.host.gpu = [gpu(0)._replace(mig=True)]
    refused = spark.run("plan", "e4b-nvfp4").expect(2)
    assert f"e4b-nvfp4: GPU 0 ({RTX}): it is divided into parts (MIG)" in refused.err
