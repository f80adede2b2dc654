"""`bench --sweep`: each value is started and measured, and what ran before runs again afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import InputError
from sparkctl.operations.bench.saved import benches
from sparkctl.operations.bench.sweep import values
from sparkctl.operations.records import Records
from tests.support.bench_streams import FakeStreams
from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    spark = FakeSpark(tmp_path, streams=FakeStreams())
    spark.run("up", "e4b-nvfp4").expect(0)
    return spark


def test_a_sweep_starts_each_value_and_puts_back_what_ran(spark: FakeSpark) -> None:
    done = spark.run("bench", "e4b-nvfp4", "--sweep", "limits.sequences=1..2", "--rounds", "1").expect(0)
    starts = [call for call in spark.engine.calls if call.startswith("start ")]
    assert starts == [*["start e4b-nvfp4"] * 3, "start e4b-nvfp4.aside"], "the first, two values, and what ran before"
    rows = done.out.splitlines()
    both = [["limits.sequences", "at"], *([value, at_once] for value in "12" for at_once in "13")]
    assert [row.split()[:2] for row in rows] == both, "the rounds in parallel are shown too"
    (container,) = spark.engine.there.values()
    assert container.command[container.command.index("--max-num-seqs") + 1] == "4"


def test_a_sweep_that_fails_or_is_stopped_puts_back_what_ran(spark: FakeSpark) -> None:
    assert isinstance(spark.streams, FakeStreams)
    spark.streams.bad = "gone"
    spark.run("bench", "e4b-nvfp4", "--sweep", "limits.sequences=1,2").expect(5)
    (container,) = spark.engine.there.values()
    assert container.command[container.command.index("--max-num-seqs") + 1] == "4"
    before = len(spark.engine.calls)
    refused = spark.run("bench", "e4b-nvfp4", "--sweep", "limits.context=4096,99999999").expect(2)
    assert "limits.context" in refused.err
    assert spark.engine.calls[before:] == [], "every value is checked before anything is stopped"


def test_a_sweep_that_ends_early_shows_what_it_has_and_puts_back_what_ran(spark: FakeSpark) -> None:
    spark.streams = FakeStreams(bad="gone", good=2)
    half = spark.run("bench", "e4b-nvfp4", "--sweep", "limits.sequences=1,2", "--rounds", "1", "--concurrency", "1")
    assert [line.split()[:3] for line in half.expect(5).out.splitlines()[1:]] == [["1", "1", "50.0"]]
    spark.streams = FakeStreams(interrupted=True)
    spark.run("bench", "e4b-nvfp4", "--sweep", "limits.sequences=1,2").expect(130)
    (container,) = spark.engine.there.values()
    assert (container.state, "4") == ("running", container.command[container.command.index("--max-num-seqs") + 1])


def test_a_store_that_cannot_be_written_costs_no_sweep(spark: FakeSpark) -> None:
    spark.store.broken = InputError("the disk is full")
    done = spark.run("bench", "e4b-nvfp4", "--sweep", "limits.sequences=1,2", "--rounds", "1", "--concurrency", "1")
    assert len(done.expect(0).out.splitlines()) == 3
    assert done.err.count("the result is not kept: the disk is full") == 2


def test_a_value_that_does_not_fit_is_named_before_anything_is_stopped(spark: FakeSpark) -> None:
    before = len(spark.engine.calls)
    refused = spark.run("bench", "e4b-nvfp4", "--sweep", "memory.kv=1GiB,200GiB").expect(3)
    assert "memory.kv=200GiB does not fit" in refused.err
    assert "sparkctl plan e4b-nvfp4 --set memory.kv=200GiB" in refused.err
    assert spark.engine.calls[before:] == []


def test_a_sweep_keeps_each_value_with_its_flags_and_is_markdown_to_share(spark: FakeSpark) -> None:
    options = ("--sweep", "limits.sequences=1..2", "--rounds", "1", "--concurrency", "1", "--markdown")
    assert "| 1 | 1 | 50.0 | 50.0 | 20 ms | - | - |" in spark.run("bench", "e4b-nvfp4", *options).expect(0).out
    assert [one.flags["max-num-seqs"] for one in benches(Records(spark.store), "e4b-nvfp4")] == ["1", "2"]
    assert all("other settings" not in note for one in benches(Records(spark.store), "e4b-nvfp4") for note in one.notes)


@pytest.mark.parametrize("spec", ["x", "x=", "=1..2", "x=2..1", "x=1,,2", "x=1..99"])
def test_a_sweep_that_is_none(spec: str) -> None:
    with pytest.raises(InputError, match="expected PATH=A"):
        values(spec)
    assert values("a.b=1..3") == ("a.b", ["1", "2", "3"])


def test_the_very_container_comes_back_with_what_was_laid_over_it(spark: FakeSpark) -> None:
    spark.run("down", "e4b-nvfp4").expect(0)
    spark.http.serving["127.0.0.1:8055"] = "quick"
    own = ("--set", "serve.port=8055", "--set", "serve.name=quick", "--set", "limits.sequences=3")
    spark.run("up", "e4b-nvfp4", *own).expect(0)
    ((identity, before),) = spark.engine.there.items()
    spark.run("bench", "e4b-nvfp4", "--sweep", "limits.context=4096,8192", "--rounds", "1").expect(0)
    assert isinstance(spark.streams, FakeStreams)
    assert {str(bodies[0]["model"]) for bodies in spark.streams.asked} == {"quick"}
    assert list(spark.engine.there) == [identity]
    after = spark.engine.there[identity]
    assert (after.name, after.state, after.command) == ("e4b-nvfp4", "running", before.command)


def test_what_did_not_run_before_does_not_run_afterwards(spark: FakeSpark) -> None:
    spark.run("down", "e4b-nvfp4").expect(0)
    spark.run("bench", "e4b-nvfp4", "--sweep", "limits.sequences=1,2", "--rounds", "1").expect(0)
    assert spark.engine.there == {}
    assert len(benches(Records(spark.store), "e4b-nvfp4")) == 2
