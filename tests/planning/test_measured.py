"""What starts took: made of a log and readings, what is odd about it, what a plan makes of it, and the command."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparkctl.base.errors import InputError
from sparkctl.base.units import GIB
from sparkctl.memory.items import GROWTH, Item, When, Where
from sparkctl.operations.context import real_world
from sparkctl.planning import calibration
from sparkctl.planning.calibration import Learned, Measured, applied, best, shares
from sparkctl.planning.doubts import doubt, sound
from sparkctl.planning.measured import (
    NOT_LOGGED,
    Compared,
    Measurement,
    Sample,
    Share,
    Start,
    WatchedStart,
    figures,
    findings,
    of_start,
    percent,
)
from sparkctl.recipes.sizing.memory_key import key, relevant_flags
from sparkctl.vllm import boot_log
from sparkctl.world.ports import StoredRecord
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport, FakeStore
from tests.support.measured import AT, KEY, MEASURED, ON_CPU, PREDICTED, measured
from tests.support.paths import FIXTURES

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.recipes.service import Service

START = Start(KEY, "e4b", "e4b-fp8", AT, 150 * GIB, PREDICTED)
ITEMS = tuple(
    Item(
        share.name,
        share.bytes,
        "a formula",
        When.STEADY if share.steady else When.START,
        Where.GPU if share.on_gpu else Where.HOST,
        estimated=True,
    )
    for share in PREDICTED
)


def log(name: str) -> boot_log.BootLog:
    return boot_log.parse((FIXTURES / name).read_text().split("\n"))


def gib(items: tuple[Item, ...]) -> dict[str, float]:
    return {item.name: round(item.bytes / GIB, 2) for item in items}


# --- a start becomes a measurement -----------------------------------------------------------------------------------


def test_a_start_is_measured_from_its_log_and_the_readings() -> None:
    samples = [
        Sample(0.0, 110 * GIB),
        Sample(2.0, 100 * GIB, 4 * GIB, GIB),
        Sample(4.0, 70 * GIB),
        Sample(6.0, 80 * GIB, 30 * GIB, 5 * GIB),
        Sample(8.0, 85 * GIB, 22 * GIB, 3 * GIB),
    ]
    one = of_start(START, log("vllm-0.20.2-h200/boots/g1-e4b-fp8kv-131072-2048-u06-graphs.log"), WatchedStart(samples))
    assert (one.vllm, one.service, one.recipe, one.key) == ("0.20.2", "e4b", "e4b-fp8", KEY)
    assert (one.loaded_bytes, one.graphs_bytes) == (round(14.21 * GIB), round(0.47 * GIB))
    assert (one.kv_tokens, one.peak_activation_bytes) == (7921920, round(5.51 * GIB))
    assert (one.gpu_bytes, one.host_bytes, one.peak_gpu_bytes) == (22 * GIB, 3 * GIB, 30 * GIB)
    assert (one.peak_total_bytes, one.available_before, one.available_after) == (40 * GIB, 110 * GIB, 85 * GIB)
    assert (one.date, one.seconds) == ("2026-11-20", 146)


def test_what_was_not_read_is_unknown() -> None:
    one = of_start(START, boot_log.BootLog(), WatchedStart())
    assert (one.loaded_bytes, one.gpu_bytes, one.peak_total_bytes, one.steady_bytes, dict(one.phases)) == (
        None,
        None,
        None,
        None,
        {},
    )
    assert findings(one) == []
    hidden = of_start(START, boot_log.BootLog(), WatchedStart([Sample(0.0, GIB), Sample(5.0, GIB, 0, None)]))
    assert (hidden.steady_bytes, dict(hidden.phases)) == (None, {"start": 5.0})


def test_the_phases_are_the_whole_time_from_the_containers_start() -> None:
    lines = (FIXTURES / "vllm-0.20.2-h200/boots/g1-e4b-fp8kv-131072-2048-u06-graphs.log").read_text().split("\n")
    boot = boot_log.parse(lines)
    logged = sum(boot.phases.values())
    samples = [Sample(100.0, 110 * GIB), Sample(250.0, 85 * GIB, 22 * GIB, 3 * GIB)]

    begun = of_start(START, boot, WatchedStart(samples))
    assert (begun.seconds, begun.phases["probing"]) == (150, 150 - logged)

    joined = of_start(START, boot, WatchedStart(samples, before_s=30.0))
    assert (joined.seconds, joined.peak_total_bytes, joined.available_before) == (180, None, None)
    assert (joined.loaded_bytes, joined.gpu_bytes, joined.peak_gpu_bytes) == (begun.loaded_bytes, 22 * GIB, None)

    long_ready = of_start(START, boot, WatchedStart(samples, before_s=9000.0))
    assert (long_ready.seconds, "probing" in long_ready.phases) == (logged, False)

    half = of_start(START, boot_log.parse(lines[: len(lines) // 3]), WatchedStart(samples))
    assert (half.seconds, NOT_LOGGED in half.phases, "probing" in half.phases) == (150, True, False)


def test_of_a_log_that_says_nothing_the_rest_is_measured() -> None:
    flags = (("kv-cache-memory-bytes", str(2 * GIB)),)
    silent = replace(START, key=KEY._replace(flags=flags))
    one = of_start(
        silent, boot_log.BootLog(), WatchedStart([Sample(0.0, 90 * GIB), Sample(80.0, 75 * GIB, 15 * GIB, GIB)])
    )
    assert (one.loaded_bytes, one.kv_bytes, one.gpu_bytes, one.seconds) == (None, 2 * GIB, 15 * GIB, 80)
    applied_ = gib(applied(ITEMS, Measured(one)))
    assert applied_["weights"] + applied_["KV cache"] + applied_["beside weights and cache"] == 15  # NVML's sum


def test_the_cpu_build_has_everything_in_its_processes() -> None:
    start = replace(START, predicted=ON_CPU)
    samples = [Sample(0.0, 14 * GIB), Sample(9.0, 12 * GIB, 0, 2 * GIB)]
    one = of_start(start, log("vllm-0.32-cpu/boot-kv-bytes.log"), WatchedStart(samples))
    assert (one.vllm, one.kv_bytes, one.kv_tokens) == ("0.32.0", 67108864, 131072)
    assert (one.loaded_bytes, one.steady_bytes) == (None, 2 * GIB)


# --- what is odd -----------------------------------------------------------------------------------------------------


def test_the_two_that_started_at_once_are_reported() -> None:
    shapes = {"A": (8.86, 45.8), "B": (14.21, 40.4)}  # weights; the cache that each would have had alone
    said = {}
    for name, (weights, planned) in shapes.items():
        predicted = (Share("weights", round(weights * GIB)), Share("KV cache", round(planned * GIB)))
        boot = log(f"vllm-0.20.2-h200/boots/f8a-two-at-once-u04-{name}.log")
        said[name] = findings(of_start(replace(START, predicted=predicted), boot, WatchedStart()))
    assert said == {
        "A": ["KV cache: 30.6 GiB where 45.8 was planned: something else was loading"],
        "B": ["KV cache: 30.0 GiB where 40.4 was planned: something else was loading"],
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"kv_bytes": round(1.1 * GIB)}, []),
        ({"kv_bytes": GIB}, ["KV cache: 1.0 GiB where 2.0 was planned: its processes took more"]),
        ({"loaded_bytes": round(10.45 * GIB)}, []),
        ({"loaded_bytes": round(10.6 * GIB)}, ["loaded 10.6 GiB where 10.0 was predicted (+6 %)"]),
        ({"loaded_bytes": 9 * GIB}, ["loaded 9.0 GiB where 10.0 was predicted (-10 %)"]),
        (
            {"loaded_bytes": 11 * GIB, "kv_bytes": GIB},
            [
                "KV cache: 1.0 GiB where 2.0 was planned: the weights took 1.0 GiB more",
                "loaded 11.0 GiB where 10.0 was predicted (+10 %)",
            ],
        ),
        (
            {"gpu_bytes": 18 * GIB, "available_after": 89 * GIB},
            ["holds 21.0 GiB where 18.0 was predicted (+17 %)"],
        ),
        ({"peak_total_bytes": 30 * GIB}, ["took 30.0 GiB at its peak where 26.0 was predicted (+15 %)"]),
        (
            {"available_after": 70 * GIB},
            [
                (
                    "MemAvailable fell by 40.0 GiB while it started, and its processes hold 18.0 GiB: "
                    "something else was loading"
                )
            ],
        ),
    ],
)
def test_findings_are_sentences(changes: dict[str, Any], expected: list[str]) -> None:
    assert findings(measured(**changes)) == expected


def test_of_a_tiny_prediction_no_percentage_is_told() -> None:
    tiny = replace(measured(loaded_bytes=GIB), predicted=(Share("weights", 512 * 1024),))
    assert "loaded 1.0 GiB where 0.0 was predicted" in findings(tiny)
    assert percent(Compared("weights", GIB, GIB // 20)) == ""
    assert percent(Compared("weights", GIB, GIB // 2)) == "+100 %"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"loaded_bytes": -1}, "loaded is negative: -1 bytes"),
        ({"gpu_bytes": 121 * GIB}, "GPU is 121.0 GiB, more than the host has (120.0 GiB)"),
        ({"gpu_bytes": 6 * GIB}, "its processes held 9.0 GiB, and its log says 12.0 GiB of weights and cache"),
        (
            {"key": KEY._replace(flags=(("kv-cache-memory-bytes", str(3 * GIB)),))},
            "its cache is 2.0 GiB, and its flag says 3.0 GiB",
        ),
        ({"peak_total_bytes": 200 * GIB}, "peak is 200.0 GiB, more than the host has (120.0 GiB)"),
        ({"phases": {"loading weights": float("nan")}}, "loading weights took nan seconds"),
        ({"phases": {"loading weights": -5.0}}, "loading weights took -5.0 seconds"),
        ({"at": -1.0}, "it has no host, or no date"),
        ({"at": float("inf")}, "it has no host, or no date"),
        ({"host_total_bytes": 0}, "it has no host, or no date"),
        ({"predicted": (Share("weights", -5),)}, "predicted weights is negative: -5 bytes"),
    ],
)
def test_an_absurd_measurement_is_ignored_with_a_warning(changes: dict[str, Any], why: str) -> None:
    absurd = measured(**changes)
    assert doubt(absurd) == why
    assert sound([absurd, MEASURED]) == ([MEASURED], [f"a measurement of e4b is ignored: {why}"])
    assert best([absurd], KEY) is None


# --- which measurement speaks ----------------------------------------------------------------------------------------


def test_the_newest_start_with_the_same_key_speaks() -> None:
    old, new = measured(at=AT - 10), measured(at=AT + 10, loaded_bytes=11 * GIB)
    found = best([new, old, MEASURED], KEY)
    assert isinstance(found, Measured)
    assert found.measurement == new


def test_another_image_or_model_says_nothing() -> None:
    there = [measured(key=KEY._replace(image_digest="sha256:x")), measured(key=KEY._replace(model="m/other"))]
    assert best(there, KEY) is None
    assert best([], KEY) is None


def test_of_other_flags_the_nearest_teaches() -> None:
    wanted = KEY._replace(flags=(("kv-cache-dtype", "fp8"), ("max-model-len", "32768")))
    far = measured(key=KEY._replace(flags=()), at=AT + 50)
    near = measured(at=AT + 1)
    found = best([far, near, MEASURED], wanted)
    assert isinstance(found, Learned)
    assert found.measurement == near


# --- the same key ----------------------------------------------------------------------------------------------------


def test_a_start_with_the_same_key_replaces_the_estimate() -> None:
    one = measured(loaded_bytes=round(10.4 * GIB), gpu_bytes=round(15.9 * GIB), host_bytes=round(2.5 * GIB))
    match = best([one, replace(one, at=AT + 1), replace(one, at=AT + 2)], KEY)
    assert match is not None
    items = applied(ITEMS, match)
    assert gib(items) == {
        "weights": 10.4,
        "KV cache": 2.0,
        "beside weights and cache": 3.5,
        "host processes": 2.5,
        "while it starts": 2.0,  # 1.6 was seen three times: 20.0 less 18.4, and a quarter
    }
    assert {item.source for item in items} == {"measured here on 2026-11-20"}
    assert not any(item.estimated for item in items)


def test_a_draft_is_measured_with_the_weights() -> None:
    items = (*ITEMS, Item("draft", GIB, "headers"))
    match = best([measured(loaded_bytes=round(11.5 * GIB), gpu_bytes=round(16.5 * GIB))], KEY)
    assert match is not None
    assert gib(applied(items, match))["weights"] == 11.5
    assert "draft" not in gib(applied(items, match))


def test_a_cache_that_came_out_short_stays_as_planned() -> None:
    match = best([measured(kv_bytes=GIB, gpu_bytes=14 * GIB)], KEY)
    assert match is not None
    assert gib(applied(ITEMS, match))["KV cache"] == 2.0


def test_a_cache_is_counted_to_the_byte_where_the_log_has_two_digits() -> None:
    match = best([measured(kv_bytes=2 * GIB - 4_000_000)], KEY)
    assert match is not None
    assert [item.bytes for item in applied(ITEMS, match) if item.name == "KV cache"] == [2 * GIB]


def test_what_nvml_did_not_show_stays_estimated() -> None:
    match = best([measured(gpu_bytes=0)], KEY)
    assert match is not None
    items = {item.name: item for item in applied(ITEMS, match)}
    assert items["sampler"].estimated
    assert items["CUDA context"].bytes == 2 * GIB
    assert items["while it starts"].bytes == 8 * GIB
    assert items["weights"].source == "measured here on 2026-11-20"


def test_the_activation_peak_and_half_of_the_estimate_are_floors() -> None:
    lean = measured(gpu_bytes=round(12.1 * GIB), host_bytes=round(0.1 * GIB))
    match = best([lean], KEY)
    assert match is not None
    assert (gib(applied(ITEMS, match))["beside weights and cache"], gib(applied(ITEMS, match))["host processes"]) == (
        1.5,
        1.5,
    )
    peaky = best([replace(lean, peak_activation_bytes=5 * GIB)], KEY)
    assert peaky is not None
    assert gib(applied(ITEMS, peaky))["beside weights and cache"] == 5.0


@pytest.mark.parametrize(
    ("transients", "expected"),
    [
        ([], 8.0),
        ([0.5], 4.0),  # one start may have been a warm one: half of the estimate stays
        ([0.5, 0.5], 2.0),
        ([0.5, 3.0, 0.5], 3.75),  # the largest counts, with a quarter on it
        ([7.0, 7.0], 8.0),  # never more than the estimate for the margin's sake
        ([0.5, 12.0], 12.0),
    ],
)
def test_the_start_up_peak_falls_only_with_evidence(transients: list[float], expected: float) -> None:
    match = Measured(measured(), tuple(round(one * GIB) for one in transients))
    assert gib(applied(ITEMS, match))["while it starts"] == expected


@pytest.mark.parametrize("after", [60, 109])
def test_a_start_that_something_else_disturbed_is_no_evidence(after: int) -> None:
    match = best([measured(available_after=after * GIB)], KEY)
    assert isinstance(match, Measured)
    assert match.transients == ()


def test_on_the_cpu_the_processes_are_measured_without_weights_and_cache() -> None:
    items = tuple(item._replace(where=Where.HOST) for item in ITEMS)
    one = measured(predicted=ON_CPU, loaded_bytes=None, gpu_bytes=0, host_bytes=17 * GIB, available_after=93 * GIB)
    match = best([one], KEY)
    assert match is not None
    found = {item.name: item for item in applied(items, match)}
    assert found["weights"].source == "a formula"
    assert found["host processes"].bytes == 5 * GIB
    assert found["host processes"].where is Where.HOST


# --- other flags -----------------------------------------------------------------------------------------------------


OTHER = KEY._replace(flags=(("max-model-len", "65536"),))


def scaled(one: Measurement) -> dict[str, float]:
    match = best([one], OTHER)
    assert isinstance(match, Learned)
    return gib(applied(ITEMS, match))


def test_a_changed_flag_falls_back_to_the_estimate_scaled_by_what_was_learned() -> None:
    one = measured(
        loaded_bytes=11 * GIB, gpu_bytes=round(17.5 * GIB), host_bytes=6 * GIB, peak_total_bytes=round(33.5 * GIB)
    )
    assert scaled(replace(one, available_after=round(86.5 * GIB))) == {
        "weights": 11.0,
        "KV cache": 2.0,
        "sampler": 1.5,
        "CUDA context": 3.0,
        "host processes": 6.0,
        "while it starts": 10.0,
    }
    match = best([one], OTHER)
    assert match is not None
    weights = applied(ITEMS, match)[0]
    assert weights.source == "a formula; x 1.10, scaled by what was measured here on 2026-11-20"
    assert weights.estimated


def test_a_ratio_makes_nothing_much_smaller_nor_absurdly_large() -> None:
    lean = measured(loaded_bytes=5 * GIB, gpu_bytes=8 * GIB, host_bytes=GIB, peak_total_bytes=9 * GIB)
    assert scaled(lean) == {
        "weights": 9.5,
        "KV cache": 2.0,
        "sampler": 0.75,
        "CUDA context": 1.5,
        "host processes": 2.25,
        "while it starts": 8.0,
    }
    assert scaled(measured(host_bytes=90 * GIB))["host processes"] == 9.0


SIZES = st.none() | st.integers(0, 120 * GIB)


@given(st.data())
def test_whatever_was_measured_the_plan_keeps_its_floors(data: st.DataObject) -> None:
    names = [
        *("loaded_bytes", "kv_bytes", "gpu_bytes", "host_bytes", "peak_total_bytes", "peak_activation_bytes"),
        *("available_before", "available_after"),
    ]
    one = measured(key=data.draw(st.sampled_from([KEY, OTHER])), **{name: data.draw(SIZES) for name in names})
    match = best([one], KEY)
    if match is None:
        assert doubt(one) is not None  # it contradicts itself, and the plan is the estimate
        return
    items = applied(ITEMS, match)
    groups = {name: sum(item.bytes for item in group) for name, group in calibration.grouped(items).items()}
    assert groups["beside weights and cache"] >= 1.5 * GIB
    assert groups["host processes"] >= 1.5 * GIB
    assert groups["while it starts"] >= 4 * GIB
    assert groups["KV cache"] >= 1.8 * GIB
    assert all(item.bytes >= 0 for item in items)


@pytest.mark.parametrize(
    ("changes", "growth"),
    [
        ({}, (GIB, 3 * GIB)),  # nobody looked: the estimate
        ({"high_bytes": 18 * GIB}, (GIB, 3 * GIB)),  # nothing so far, of a service that may not have been used
        ({"high_bytes": 20 * GIB}, (2 * GIB, 2 * GIB)),  # 2 GiB at least, up to the bound
        ({"high_bytes": 18 * GIB, "used": True}, (0, 0)),
        ({"high_bytes": 23 * GIB, "used": True}, (5 * GIB, 0)),
        ({"high_bytes": 23 * GIB}, (5 * GIB, 0)),  # beyond the bound of the estimate
    ],
)
def test_what_a_service_grew_by_while_it_served_is_in_the_next_plan(
    changes: dict[str, Any], growth: tuple[int, int]
) -> None:
    later = Item(GROWTH, GIB, "public runs", When.LATER, estimated=True, spread=3 * GIB)
    items = applied((*ITEMS, later), Measured(measured(**changes)))
    (found,) = [(item.bytes, item.spread) for item in items if item.name == GROWTH]
    assert found == growth
    without = {item.name: item.bytes for item in applied(ITEMS, Measured(measured(**changes)))}
    assert without.get(GROWTH, 0) == (measured(**changes).grown_bytes or 0)


def test_growth_is_said(tmp_path: Path) -> None:
    store = FakeStore().measured(measured(high_bytes=20 * GIB))
    out = FakeSpark(tmp_path, store=store).run("measurements").expect(0).out
    assert "e4b, 2026-11-20: holds 20.0 GiB while it serves, 2.0 GiB more than at ready" in out


def test_a_long_prompt_at_the_end_of_a_start_gives_the_mark() -> None:
    ready = Sample(80.0, 75 * GIB, 15 * GIB, GIB)
    watched = WatchedStart([Sample(0.0, 90 * GIB), ready], 0.0, Sample(95.0, 74 * GIB, 16 * GIB, 2 * GIB), used=True)
    one = of_start(START, boot_log.BootLog(), watched)
    assert (one.gpu_bytes, one.steady_bytes, one.high_bytes, one.used) == (15 * GIB, 16 * GIB, 18 * GIB, True)
    assert one.grown_bytes == 2 * GIB


def test_what_was_measured_on_another_machine_is_left_aside(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    spark.run("up", "e4b-nvfp4").expect(0)
    spark.run("down", "e4b-nvfp4").expect(0)
    (kept,) = spark.store.measurements
    assert spark.run("plan", "e4b-nvfp4", "--json").json["services"][0]["known"].startswith("measured here on ")
    spark.store.measured(replace(kept, host_total_bytes=round(kept.host_total_bytes * 1.017)))
    assert spark.run("plan", "e4b-nvfp4", "--json").json["services"][0]["known"] == "estimated"
    said = spark.run("measurements").expect(0).err
    assert "warning: 1 of a machine with 122.0 GiB: no plan here goes by them, this one has 120.0 GiB" in said
    assert "nothing that was measured can be exported" in spark.run("measurements", "export").expect(2).err


def test_a_measurement_of_an_older_release_is_read(tmp_path: Path) -> None:
    old = (
        '{"key":["sha256:e4b","google/gemma-4-E4B-it","",[["kv-cache-dtype","fp8"],["max-model-len","16384"]]],'
        '"service":"old","recipe":"e4b-fp8","at":1795200000.0,"host_total_bytes":128849018880,'
        '"predicted":[["weights",10737418240,true,true]],"loaded_bytes":10737418240,'
        '"phases":{"starting":20.0,"loading weights":40.0}}'
    )
    store = FakeStore()
    store.add(StoredRecord("measurement", AT, "old", "e4b-fp8", KEY.model, old))
    store.add(StoredRecord("high-water", AT, "old", "e4b-fp8", KEY.model, '{"bytes": "much"}'))
    done = FakeSpark(tmp_path, store=store).run("measurements", "--json").expect(0)
    assert [row["service"] for row in done.json] == ["old"]
    assert "warning: a high-water that was kept is ignored: bytes: " in done.err


def test_the_items_are_kept_as_they_were_predicted() -> None:
    assert shares(ITEMS) == PREDICTED


# --- the flags of a key ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"max-model-len": 16384, "served-model-name": "x", "api-key": "k", "port": 1}, {"max-model-len": "16384"}),
        ({"max_model_len": "16K"}, {"max-model-len": "16384"}),
        ({"--max-model-len": "16k"}, {"max-model-len": "16000"}),
        ({"kv-cache-memory-bytes": "5.6g", "gpu-memory-utilization": 0.9}, {"kv-cache-memory-bytes": "5600000000"}),
        ({"gpu-memory-utilization": "0.90"}, {"gpu-memory-utilization": "0.9"}),
        ({"kv-cache-dtype": "auto", "dtype": "auto", "quantization": None}, {}),
        ({"enforce-eager": False, "language-model-only": False}, {}),
        ({"enforce-eager": True}, {"enforce-eager": "true"}),
        ({"no-async-scheduling": True}, {"async-scheduling": "false"}),
        ({"async_scheduling": False}, {"async-scheduling": "false"}),
        ({"limit-mm-per-prompt": '{"video": 0, "image":0}'}, {"limit-mm-per-prompt": '{"image":0,"video":0}'}),
        ({"limit_mm_per_prompt": {"image": 0, "video": 0}}, {"limit-mm-per-prompt": '{"image":0,"video":0}'}),
        ({"speculative-config": "{not json"}, {"speculative-config": "{not json"}),
        ({"block-size": 32.0}, {"block-size": "32"}),
    ],
)
def test_flags_that_mean_the_same_are_the_same_text(args: dict[str, object], expected: dict[str, str]) -> None:
    assert dict(relevant_flags(args)) == expected


WORDS = st.none() | st.booleans() | st.floats() | st.text()


@given(st.dictionaries(st.text(max_size=30), WORDS | st.lists(WORDS | st.lists(WORDS, max_size=3), max_size=3)))
def test_any_arguments_give_a_stable_key(args: dict[str, object]) -> None:
    flags = relevant_flags(args)
    assert flags == relevant_flags(dict(reversed(args.items())))
    assert list(flags) == sorted(flags)


def service(*overrides: str) -> Service:
    world = real_world(engine="sim", report=FakeReport(), tell=lambda _: None)
    loader = world.loader(world.ports.models, world.images)
    (found,) = loader.services(loader.located(["e4b-nvfp4"], overrides, strict=False))
    return found


def test_the_key_of_a_service_follows_what_its_memory_depends_on() -> None:
    first = key(service(), "sha256:1")
    assert first.image_digest == "sha256:1"
    assert first.model == "coolthor/Gemma-4-E4B-it-NVFP4A16"
    assert {"max-model-len", "max-num-seqs", "kv-cache-dtype", "kv-cache-memory-bytes"} <= set(dict(first.flags))
    assert "gpu-memory-utilization" not in dict(first.flags)
    same = ["serve.port=9000", "serve.name=x", "env.VLLM_LOGGING_LEVEL=DEBUG", "env.TZ=UTC"]
    assert key(service(*same), "sha256:1") == first
    for change in ("limits.context=8192", "limits.sequences=2", "args.enforce-eager=true", "memory={utilization: 0.5}"):
        assert key(service(change), "sha256:1") != first, change
    assert dict(key(service("env.VLLM_KV_CACHE_LAYOUT=BLHNC"), "").flags)["VLLM_KV_CACHE_LAYOUT"] == "BLHNC"
    assert dict(key(service("memory={utilization: 0.5}"), "").flags)["gpu-memory-utilization"] == "0.5"


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_table_has_each_figure_beside_its_prediction(tmp_path: Path) -> None:
    store = FakeStore().measured(measured(loaded_bytes=round(10.6 * GIB)), measured(service="b", at=AT + 90000))
    done = FakeSpark(tmp_path, store=store).run("measurements").expect(0)
    head, newest, oldest, finding = done.out.splitlines()
    quantities = ["loaded, GiB", "KV cache, GiB", "GPU, GiB", "host, GiB", "peak, GiB"]
    assert re.split(" {2,}", head) == ["service", "model", "date", *quantities, "start"]
    assert re.split(" {2,}", newest)[:4] == ["b", "google/gemma-4-E4B-it", "2026-11-21", "10.00 (10.00, +0 %)"]
    assert re.split(" {2,}", oldest)[3:] == [
        "10.60 (10.00, +6 %)",
        "2.00 (2.00, +0 %)",
        "15.00 (15.00, +0 %)",
        "3.00 (3.00, +0 %)",
        "20.00 (26.00, -23 %)",
        "1m 00s",
    ]
    assert finding == "e4b, 2026-11-20: loaded 10.6 GiB where 10.0 was predicted (+6 %)"


def test_names_are_services_recipes_or_models(tmp_path: Path) -> None:
    other = measured(service="b", recipe="rb", key=KEY._replace(model="m/b"))
    spark = FakeSpark(tmp_path, store=FakeStore().measured(MEASURED, other))
    for name in ("b", "rb", "m/b"):
        assert [row["service"] for row in spark.run("measurements", name, "--json").json] == ["b"]
    assert len(spark.run("measurements", "b", "e4b", "--json").json) == 2
    assert "nothing was measured of c on this host yet" in spark.run("measurements", "c").expect(0).err


def test_a_program_gets_the_figures_in_bytes(tmp_path: Path) -> None:
    (row,) = (
        FakeSpark(tmp_path, store=FakeStore().measured(measured(gpu_bytes=18 * GIB))).run("measurements", "--json").json
    )
    assert row["at"] == "2026-11-20T18:40:00+00:00"
    assert row["flags"] == {"kv-cache-dtype": "fp8", "max-model-len": "16384"}
    assert row["measured"]["gpu_bytes"] == 18 * GIB
    assert row["predicted"]["gpu_bytes"] == 15 * GIB
    assert row["error"]["gpu_bytes"] == pytest.approx(0.2)
    assert row["phases"] == {"starting": 20, "loading weights": 40}
    assert row["findings"] == ["holds 21.0 GiB where 18.0 was predicted (+17 %)"]


def test_measurements_are_forgotten_by_name(tmp_path: Path) -> None:
    store = FakeStore().measured(MEASURED, measured(at=AT + 1))
    spark = FakeSpark(tmp_path, store=store)
    missing = spark.run("measurements", "--forget", "x").expect(2)
    assert "nothing was measured of x" in missing.err
    assert "e4b: 2 measurements forgotten" in spark.run("measurements", "--forget", "e4b").expect(0).err
    assert store.measurements == []


def test_doubtful_and_damaged_measurements_are_warnings(tmp_path: Path) -> None:
    store = FakeStore().measured(measured(loaded_bytes=-1, at=AT - 1), MEASURED)
    store.add(StoredRecord("measurement", AT, "e4b", "e4b", "m", '{"at": 5}'))
    done = FakeSpark(tmp_path, store=store).run("measurements", "--json").expect(0)
    assert "warning: a measurement that was kept is ignored: key: Field required" in done.err
    assert "warning: a measurement of e4b is ignored: loaded is negative: -1 bytes" in done.err
    assert len(json.loads(done.out)) == 1


def test_a_damaged_file_is_an_error_of_the_command(tmp_path: Path) -> None:
    store = FakeStore(broken=InputError("cannot use what is kept in /x: it is damaged", hint="move it away"))
    done = FakeSpark(tmp_path, store=store).run("measurements").expect(2)
    assert done.err == "error: cannot use what is kept in /x: it is damaged\n  → move it away\n"


def test_nothing_measured_yet_says_how_to(tmp_path: Path) -> None:
    done = FakeSpark(tmp_path).run("measurements").expect(0)
    assert (done.out, done.err) == (
        "",
        "nothing was measured on this host yet; each `sparkctl up` measures its starts\n",
    )


def test_figures_without_a_prediction_have_no_error() -> None:
    assert [figure.error for figure in figures(measured(predicted=()))] == [None] * 5
