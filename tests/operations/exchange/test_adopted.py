"""Containers that somebody else started, once they are adopted: seen as services, and replaced only when told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import InputError
from sparkctl.operations.exchange import adopted
from sparkctl.operations.exchange.adopted import AdoptedContainer
from sparkctl.world.spec import ContainerSpec, Port
from tests.support.fake_engine import dies
from tests.support.fake_world import IMAGE, STATE, FakeSpark
from tests.support.fakes import FakeFiles

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = "extends: e4b-fp8\n"
ADOPTED = AdoptedContainer("chat", "chat", "http://127.0.0.1:8003", ("gemma-4-e4b",))


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    """Return a Spark on which somebody runs a container named chat, that was adopted as the recipe of this name."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "chat.yaml").write_text(RECIPE)
    spark = FakeSpark(tmp_path)
    ports = (Port(8000, 8003, "127.0.0.1"),)
    theirs = spark.engine.create(ContainerSpec(IMAGE, ("--model", "theirs"), "chat", ports=ports))
    spark.engine.start(theirs)
    adopted.keep(spark.files, STATE, theirs, ADOPTED, there=[theirs])
    return spark


def test_ps_shows_it_as_a_service_that_sparkctl_did_not_start(spark: FakeSpark) -> None:
    done = spark.run("ps")
    assert "chat" in done.out
    assert "sparkctl did not start it: sparkctl up chat --replace puts its own in its place" in done.err
    (row,) = spark.run("ps", "--json").json
    assert (row["name"], row["recipe"], row["claim_bytes"], row["ready"]) == ("chat", "chat", None, True)


def test_up_leaves_it_alone_unless_it_is_told_to_replace_it(spark: FakeSpark) -> None:
    (theirs,) = spark.engine.there
    refused = spark.run("up", "chat")
    assert refused.code == 2
    assert "sparkctl did not start it" in refused.err
    assert list(spark.engine.there) == [theirs]
    assert "sparkctl did not start it" in spark.run("plan", "chat").err

    done = spark.run("up", "chat", "--replace")
    assert done.code == 0, done.err
    (own,) = spark.engine.there.values()
    assert own.name == "chat"
    assert own.labels["sparkctl.service"] == "chat"
    assert spark.run("down", "chat").code == 0


def test_it_comes_back_where_its_successor_fails(spark: FakeSpark) -> None:
    (theirs,) = spark.engine.there
    spark.engine.on_start["chat"] = dies()
    assert spark.run("up", "chat", "--replace").code == 5
    assert [(one.id, one.name) for one in spark.engine.there.values()] == [(theirs, "chat")]


def test_it_is_not_removed_by_down(spark: FakeSpark) -> None:
    done = spark.run("down", "chat")
    assert done.code == 2
    assert "sparkctl did not start this container" in done.err
    assert len(spark.engine.there) == 1


def test_what_is_kept_is_read_again_and_what_is_gone_is_forgotten() -> None:
    files = FakeFiles()
    adopted.keep(files, STATE, "one", ADOPTED, there=["one"])
    other = replace_service(ADOPTED, "other")
    adopted.keep(files, STATE, "two", other, there=["one", "two"])
    assert adopted.kept(files, STATE).containers == {"one": ADOPTED, "two": other}
    adopted.keep(files, STATE, "three", ADOPTED, there=["two", "three"])
    assert adopted.kept(files, STATE).containers == {"two": other, "three": ADOPTED}


def replace_service(one: AdoptedContainer, service: str) -> AdoptedContainer:
    return one._replace(service=service)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"containers": 1}', '{"containers": {"a": {"service": 1}}}'])
def test_a_damaged_file_is_told_and_never_written_over(spark: FakeSpark, content: str) -> None:
    spark.files.write(STATE / adopted.NAME, content.encode(), mode=0o600)
    assert f"{STATE / adopted.NAME} is damaged" in spark.run("ps").expect(0).err
    with pytest.raises(InputError, match=r"adopted\.json is damaged"):
        adopted.keep(spark.files, STATE, "one", ADOPTED, there=["one"])
    assert spark.files.content(STATE / adopted.NAME) == content.encode()


def test_what_of_a_damaged_file_can_be_read_counts(spark: FakeSpark) -> None:
    (theirs,) = spark.engine.there
    rows = {theirs: ADOPTED._asdict(), "b": {"service": 1}}
    spark.files.write(STATE / adopted.NAME, json.dumps({"containers": rows}).encode(), mode=0o600)
    done = spark.run("ps").expect(0)
    assert "is damaged at b: " in done.err
    assert "chat" in done.out
