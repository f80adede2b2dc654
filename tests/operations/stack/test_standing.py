"""A service that an operator stops stays down, and ps and status say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import InputError
from sparkctl.operations.stack import standing
from sparkctl.planning.box.generation import FAILED
from sparkctl.world.ports import StoredRecord
from tests.support.applied import apply_names
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport

if TYPE_CHECKING:
    from pathlib import Path

E4B = "e4b-nvfp4"


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    """Return a Spark on which a stack of one service was applied, and runs."""
    spark = FakeSpark(tmp_path, environ={"USER": "ada"})
    apply_names(spark, E4B)
    spark.run("up", E4B).expect(0)
    return spark


def row(spark: FakeSpark) -> dict[str, object]:
    (found,) = spark.run("ps", "--json").expect(0).json
    assert isinstance(found, dict)
    return found


def test_down_of_a_service_of_the_applied_stack_pauses_it_until_up(spark: FakeSpark) -> None:
    assert row(spark)["standing"] is None
    done = spark.run("down", E4B).expect(0)
    assert f"{E4B}: paused: it stays down until sparkctl up {E4B}" in done.err
    found = row(spark)
    assert (found["container"], found["ready"]) == (None, False)
    assert found["standing"] == {"state": "paused", "why": "", "at": 1.0 + spark.clock.now, "who": "ada"}
    assert "paused by ada" in spark.run("ps").expect(0).out
    assert "paused by ada" in spark.run("status", E4B).expect(5).out
    spark.run("up", E4B).expect(0)
    assert row(spark)["standing"] is None


def test_a_held_service_says_why_also_where_it_has_a_container(spark: FakeSpark) -> None:
    standing.hold(spark.world(FakeReport()), E4B, "this vLLM has no flag --such")
    assert "; held: this vLLM has no flag --such" in spark.run("ps").expect(0).out
    assert "held: this vLLM has no flag --such" in spark.run("status", E4B).expect(0).out
    assert spark.run("status", E4B, "--json").expect(0).json["standing"]["state"] == "held"
    spark.run("restart", E4B).expect(0)
    assert row(spark)["standing"] is None


def test_a_start_that_fails_ends_no_hold(spark: FakeSpark) -> None:
    spark.run("down", E4B).expect(0)
    spark.http.serving.clear()
    spark.engine.on_start[E4B] = lambda one: one._replace(state="exited", exit_code=1)
    spark.run("up", E4B).expect(5)
    assert row(spark)["standing"] is not None


def test_what_stands_down_already_is_paused_too(spark: FakeSpark) -> None:
    for one in list(spark.engine.there):
        spark.engine.remove(one)
    spark.run("down", E4B).expect(0)
    assert row(spark)["standing"] is not None
    spark.run("up", E4B).expect(0)
    spark.run("down", "--all").expect(0)
    assert row(spark)["standing"] is not None


@pytest.mark.parametrize("outcome", [None, FAILED])
def test_without_an_applied_stack_nothing_is_kept(tmp_path: Path, outcome: str | None) -> None:
    spark = FakeSpark(tmp_path)
    if outcome is not None:
        apply_names(spark, E4B, outcome=outcome)
    spark.run("up", E4B).expect(0)
    assert "paused" not in spark.run("down", E4B).expect(0).err
    assert spark.run("ps", "--json").expect(0).json == []
    assert spark.store.records(standing.STANDING) == []


def test_a_service_that_no_applied_stack_has_any_more_is_not_shown(spark: FakeSpark) -> None:
    spark.run("down", E4B).expect(0)
    apply_names(spark, "another")
    assert spark.run("ps", "--json").expect(0).json == []


def test_a_damaged_record_is_left_out(spark: FakeSpark) -> None:
    spark.store.add(StoredRecord(standing.STANDING, 1.0, E4B, "", "", '{"kind": "asleep"}'))
    assert row(spark)["standing"] is None


def test_a_store_that_cannot_be_used_stops_no_command_and_is_told(spark: FakeSpark) -> None:
    spark.store.broken = InputError("cannot use what is kept in /state: it is damaged", hint="move it away")
    told = spark.run("ps").expect(0).err
    assert told.count("it is not known which services are paused or held: cannot use what is kept") == 1
    assert "it is not known which services are kept running" in spark.run("down", E4B).expect(0).err
    assert spark.engine.there == {}


def test_a_service_that_only_the_applied_stack_knows_is_started_as_it_was_applied(tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path, environ={"USER": "ada"})
    file = tmp_path / "box.yaml"
    file.write_text(f"services:\n  chat: {{recipe: {E4B}, set: {{limits.context: 4096}}}}\n")
    spark.run("apply", str(file)).expect(0)
    file.unlink()
    spark.run("down", "chat").expect(0)
    assert row(spark)["standing"] is not None
    refused = spark.run("up", "chat", "--set", "limits.context=8192").expect(2)
    assert "chat is started as it was applied, with nothing laid over it" in refused.err
    assert "chat: ready at" in spark.run("up", "chat").expect(0).err
    found = row(spark)
    assert (found["standing"], found["overrides"]) == (None, ["limits.context=4096"])
    assert "chat: already up" in spark.run("up", "chat").expect(0).err
    assert "no recipe or stack 'chatt'" in spark.run("up", "chatt").expect(2).err
