"""`sparkctl fits` as an operator reads it: what fits beside what, which context, who would have to stop, how fast."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.units import GIB
from sparkctl.operations.bench import result
from sparkctl.operations.bench.saved import bench_record
from sparkctl.world.ports import HubModel
from tests.support.bench_streams import done
from tests.support.fake_world import FakeSpark
from tests.support.paths import FIXTURES

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

E4B, REASONER = "e4b-nvfp4", "26b-a4b-nvfp4"
GEMMA = [E4B, REASONER, "e4b-bf16", "e4b-fp8", "e2b-nvfp4", "26b-a4b-fp8", "26b-a4b-fp8-mtp", "huihui-26b-a4b-fp8-mtp"]
"""Those whose sizes the figures of these tests are made for; others are shipped, too."""
BENCH = result.Bench(
    service="e4b-fp8",
    recipe="e4b-fp8",
    model="google/gemma-4-E4B-it",
    image="image:1",
    vllm="0.19.1",
    at=1.8e9,
    max_tokens=400,
    rounds=1,
    levels=(result.level(1, [[done(0, 10, 400)]]),),
    predicted=32.0,
)


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    return FakeSpark(tmp_path)


def rows(spark: FakeSpark, *more: str) -> dict[str, Any]:
    found: dict[str, Any] = {one["name"]: one for one in spark.run("fits", "--json", *more).expect(0).json["recipes"]}
    return found


def test_an_idle_spark_has_room_for_each_and_the_longest_context_is_what_a_plan_admits(spark: FakeSpark) -> None:
    found = rows(spark)
    assert {found[name]["fits"] for name in GEMMA} == {"now"}
    fitting = [one for one in found.values() if one["fits"] == "now"]
    assert all(one["longest_context"] >= one["context"] and not one["stops"] for one in fitting)
    spark.host.available = 41 * GIB
    longest = rows(spark)[E4B]["longest_context"]
    assert 16384 < longest < 131072
    spark.run("plan", E4B, "--set", f"limits.context={longest}").expect(0)
    spark.run("plan", E4B, "--set", f"limits.context={longest + 1024}").expect(3)


def test_each_says_what_a_plan_says_and_its_command_fits(spark: FakeSpark) -> None:
    spark.run("up", E4B).expect(0)
    spark.host.available = 64 * GIB
    found = rows(spark)
    assert found[E4B]["fits"] == "runs"
    kinds = {one["fits"] for one in found.values()}
    assert {"now", "shorter", "after"} <= kinds, kinds
    for name, one in ((name, found[name]) for name in GEMMA if name != E4B):
        assert spark.run("plan", name).code == (0 if one["fits"] == "now" else 3), name
        assert (one["lacks_bytes"] > 0) == (one["fits"] != "now")
        if one["fits"] == "shorter":
            spark.run("plan", name, "--set", f"limits.context={one['longest_context']}").expect(0)
            assert one["command"] == f"sparkctl up {name} --set limits.context={one['longest_context']}"
        if one["fits"] == "after":
            shorter = one["longest_context"] < one["context"]
            more = f" --set limits.context={one['longest_context']}" if shorter else ""
            assert (one["stops"], one["command"]) == ([E4B], f"sparkctl down {E4B} && sparkctl up {name}{more}")
    order = ["runs", "now", "shorter", "after", "never", "unknown"]
    places = [order.index(one["fits"]) for one in found.values()]
    assert places == sorted(places)


def test_beside_names_what_is_to_run_and_not_what_runs(spark: FakeSpark) -> None:
    spark.run("up", E4B).expect(0)
    alone = spark.run("fits", "--beside", REASONER).expect(0).out
    assert f"beside {REASONER}\n" in alone
    found = rows(spark, "--beside", "executor")
    assert {name for name, one in found.items() if one["fits"] == "runs"} == {E4B, REASONER}
    assert "its port 8003 is that of e4b-nvfp4" in found["e4b-bf16"]["notes"]
    planned = spark.run("plan", "executor", "e2b-nvfp4", "--host", "gb10").code
    assert (found["e2b-nvfp4"]["fits"] == "now") == (planned == 0)
    spark.run("fits", "--running", "--beside", E4B).expect(2)
    assert "no recipe or stack 'nothing'" in spark.run("fits", "--beside", "nothing").expect(2).err


def test_what_fits_not_even_alone_is_said_and_what_stops_may_leave_a_shorter_context(spark: FakeSpark) -> None:
    spark.run("up", E4B).expect(0)
    spark.host.available = 60 * GIB
    found = rows(spark)
    assert (found["26b-a4b-fp8-mtp"]["fits"], found["26b-a4b-fp8-mtp"]["longest_context"]) == ("never", 0)
    shorter = found["26b-a4b-fp8"]
    assert (shorter["fits"], shorter["stops"], shorter["longest_context"] < shorter["context"]) == (
        "after",
        [E4B],
        True,
    )
    assert shorter["command"].endswith(f"sparkctl up 26b-a4b-fp8 --set limits.context={shorter['longest_context']}")
    shown = spark.run("fits").expect(0).out
    assert "not even alone" in shown
    assert f"after stopping {E4B}, with a context of {shorter['longest_context']:,}" in shown


def test_a_recipe_of_an_unknown_model_says_so_and_the_hub_is_not_asked(spark: FakeSpark) -> None:
    folder = spark.folder / "recipes"
    folder.mkdir()
    (folder / "strange.yaml").write_text("model: acme/Strange-9B\nimage: vllm/vllm-openai:v0.32.0\n")
    (folder / "broken.yaml").write_text("model: [\n")
    config = (FIXTURES / "configs" / "qwen3-8b" / "config.json").read_bytes()
    spark.hub.models["acme/Strange-9B"] = HubModel("c" * 40, config, (("w.weight", "BF16", (2**33,), 2**34),))
    found = rows(spark)
    assert (found["strange"]["fits"], found["broken"]["fits"]) == ("unknown", "unknown")
    assert "nothing is known of acme/Strange-9B to plan with" in found["strange"]["why"]
    assert found["strange"]["command"] == "sparkctl facts acme/Strange-9B"
    assert spark.hub.asked == []
    spark.run("plan", "acme/Strange-9B").expect(0)
    assert rows(spark)["strange"]["fits"] == "now", "what the hub said before counts"
    assert "not known" in spark.run("fits").expect(0).out


def test_speeds_are_predicted_and_each_says_how_far_it_was_off(spark: FakeSpark) -> None:
    found = rows(spark, "--speed")
    speed = found[E4B]["speed"]
    assert speed["expected"] == pytest.approx(49.9, rel=0.15)
    assert speed["measured"][0]["error"] == pytest.approx(speed["expected"] / 49.9 - 1, abs=0.001)
    assert speed["at_context"]["expected"] < speed["expected"]
    assert (speed["all_busy"], speed["accepted"]) == ({}, None)
    assert found["26b-a4b-fp8-mtp"]["speed"]["expected"] is None, "nobody published its acceptance"
    assert found["26b-a4b-fp8-mtp"]["speed"]["most"] > found["26b-a4b-fp8"]["speed"]["expected"]
    assert found["huihui-26b-a4b-fp8-mtp"]["speed"]["accepted"]["shares"] == [0.69]
    assert found["26b-a4b-nvfp4-made"]["speed"] is None, "what in it is quantized is not known"
    shown = spark.run("fits", "--speed").expect(0).out
    assert "49.9 by its source, -3%" in shown
    assert "18 to 92" in shown


@pytest.mark.parametrize("options", [("--beside", REASONER), ()])
def test_two_that_are_busy_are_as_fast_as_their_source_saw(spark: FakeSpark, options: tuple[str, ...]) -> None:
    if not options:
        spark.run("up", E4B).expect(0)
    name, other = (E4B, REASONER) if options else (REASONER, E4B)
    busy = rows(spark, "--speed", *options)[name]["speed"]["all_busy"]
    assert list(busy) == [name, other]
    assert busy[E4B] == pytest.approx([18, 18], rel=0.15)
    assert busy[REASONER] == pytest.approx([31, 31], rel=0.15)


def test_this_hosts_own_benchmarks_count(spark: FakeSpark) -> None:
    before = rows(spark, "--speed")
    spark.store.add(bench_record(BENCH))
    drafting = replace(BENCH, recipe="26b-a4b-fp8-mtp", acceptance=(0.8, 0.7, 0.6, 0.5), predicted=None)
    spark.store.add(bench_record(drafting))
    found = rows(spark, "--speed")
    here = found["e4b-fp8"]["speed"]
    assert here["measured"][0] | {"error": 0} == {
        "speed": 40.0,
        "error": 0,
        "here": True,
        "source": "here on 2027-01-15",
    }
    assert here["expected"] == before["e4b-fp8"]["speed"]["expected"], "what it is compared with is not made of it"
    quicker = found[E4B]["speed"]["expected"] / before[E4B]["speed"]["expected"]
    assert quicker == pytest.approx(40 / 32, rel=0.01), "weights of the same kind"
    assert found[REASONER]["speed"]["expected"] == before[REASONER]["speed"]["expected"], "of another kind"
    assert found["26b-a4b-fp8-mtp"]["speed"]["expected"] is not None
    assert "40.0 here" in spark.run("fits", "--speed").expect(0).out


def test_an_engine_elsewhere_is_refused(spark: FakeSpark) -> None:
    spark.engine.elsewhere = "DOCKER_HOST is ssh://spark2"
    assert "the engine is not on this host" in spark.run("fits").expect(4).err
