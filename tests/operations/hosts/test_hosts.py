"""Several hosts: added, asked at once, one of them down, one named twice; and the world of one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparkctl.base.errors import EngineError, InputError
from sparkctl.operations.hosts.add import add
from sparkctl.operations.hosts.answers import asked, refuse_twice
from sparkctl.operations.hosts.connection import world_there
from sparkctl.operations.hosts.doctor import check, doctor
from sparkctl.operations.hosts.listed import hosts, place
from sparkctl.operations.hosts.services import everywhere
from sparkctl.world.opening.log_report import LogReport
from tests.support.fake_hosts import FACTS, FakeReach, FakeThere
from tests.support.fake_world import FakeSpark

TWO = "hosts:\n  a: {ssh: spark-a}\n  b: {ssh: spark-b, reserve: 20 GiB, models: ~/hub}\n"


@pytest.fixture
def spark(tmp_path: Path, reach: FakeReach) -> FakeSpark:
    return FakeSpark(tmp_path, reach=reach)


@pytest.fixture
def reach(tmp_path: Path) -> FakeReach:
    other = FACTS._replace(name="spark-b", machine_id="2" * 32, boot_id="boot-b", environ={"XDG_STATE_HOME": "/var/s"})
    return FakeReach({"spark-a": FakeThere(FakeSpark(tmp_path)), "spark-b": FakeThere(FakeSpark(tmp_path), other)})


def test_without_a_file_there_are_no_hosts_but_this_one(spark: FakeSpark, tmp_path: Path) -> None:
    world = spark.world(LogReport())
    assert not hosts(world).hosts
    assert place(world) == tmp_path / "hosts.yaml"
    assert world_there(world, "local", tell=lambda _: None) is world
    with pytest.raises(InputError, match=r"no host a: there is no hosts\.yaml"):
        world_there(world, "a", tell=lambda _: None)
    with pytest.raises(InputError, match="there are no hosts"):
        everywhere(world)


def test_a_host_is_added_with_the_fabric_that_it_has(spark: FakeSpark, reach: FakeReach, tmp_path: Path) -> None:
    world, other = spark.world(LogReport()), reach.there["spark-b"]
    add(world, "a", "spark-a")
    with pytest.raises(InputError, match=r"address: 10\.0\.0\.1 is what a has, too"):
        add(world, "b", "spark-b")
    other.facts = other.facts._replace(rdma=())
    add(world, "b", "spark-b")
    text = (tmp_path / "hosts.yaml").read_text()
    assert "address: 10.0.0.1" in text
    found = hosts(world)
    assert list(found.hosts) == ["a", "b"]
    assert found.hosts["a"].fabric is not None
    assert found.hosts["a"].fabric.hca == ("rocep1s0f1", "roceP2p1s0f1")


@pytest.mark.parametrize(
    ("name", "target", "said"),
    [
        ("a", "spark-c", "there is a host a already"),
        ("c", "-oProxyCommand=x", "expected what ssh takes"),
        ("c d", "spark-c", "expected a name"),
        ("c", "spark-a", "spark-a is what a has, too"),
    ],
)
def test_what_cannot_be_added_is_refused_before_anybody_is_asked(
    spark: FakeSpark, reach: FakeReach, tmp_path: Path, name: str, target: str, said: str
) -> None:
    (tmp_path / "hosts.yaml").write_text(TWO)
    with pytest.raises(InputError, match=said):
        add(spark.world(LogReport()), name, target)
    assert reach.asked == []
    assert (tmp_path / "hosts.yaml").read_text() == TWO


def test_a_host_that_is_down_costs_the_others_nothing_h1(spark: FakeSpark, reach: FakeReach, tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text(TWO)
    there = reach.there["spark-a"]
    del reach.there["spark-b"]
    a, b = everywhere(spark.world(LogReport()))
    assert (a.name, a.error, b.answer) == ("a", None, None)
    assert a.answer is not None
    assert isinstance(b.error, EngineError)
    assert there.closed == 1
    assert {within for _, _, within in reach.asked} == {5.0}


def test_the_same_machine_twice_is_refused_h2(spark: FakeSpark, reach: FakeReach, tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text(TWO)
    reach.there["spark-b"].facts = FACTS
    with pytest.raises(InputError, match="a and b are the same machine"):
        doctor(spark.world(LogReport()))
    cloned = FACTS._replace(boot_id="another start")
    reach.there["spark-b"].facts = cloned
    refuse_twice(asked(spark.world(LogReport()), hosts(spark.world(LogReport())).hosts, lambda *_: 1))


def test_the_world_of_a_host_is_its_own(spark: FakeSpark, reach: FakeReach, tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text(TWO)
    here = spark.world(LogReport())
    there = world_there(here, "b", tell=lambda _: None)
    assert there.operator.home == Path("/home/you")
    assert there.operator.state == Path("/var/s/sparkctl")
    assert there.operator.hub_cache == Path("/home/you/hub")
    assert there.operator.config == here.operator.config
    assert there.profile.reserve == 20 * 1024**3
    assert there.engine.info().id == reach.there["spark-b"].spark.engine.info().id
    assert reach.there["spark-b"].states == [here.operator.state / "hosts" / "b"]
    there.boundary.know(["the-key-of-b"])
    assert "the-key-of-b" not in here.boundary.text("refused: the-key-of-b"), "what is shown hides what any host tells"
    with pytest.raises(InputError, match="no host bb"):
        world_there(here, "bb", tell=lambda _: None)


def test_all_hosts_are_examined_and_two_compared(spark: FakeSpark, reach: FakeReach, tmp_path: Path) -> None:
    (tmp_path / "hosts.yaml").write_text(TWO)
    world = spark.world(LogReport())
    found = doctor(world)
    assert list(found) == ["a", "b"]
    assert [one.found for one in found["b"] if one.subject == "ssh"] == ["spark-b answers"]
    assert any(one.subject == "memory" for one in found["a"])
    assert {one.subject for one in check(world, "a", "b")} >= {"kernel", "driver", "fabric"}
    with pytest.raises(InputError, match="compared with itself"):
        check(world, "a", "a")
    del reach.there["spark-b"]
    with pytest.raises(EngineError, match="b is not reached"):
        check(world, "a", "b")


def test_the_command_line_says_which_commands_take_a_host(
    spark: FakeSpark, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert spark.run("--host", "a", "guard", "status").code == 2
    assert "guard does not take --host; these do: up down" in capsys.readouterr().err
    assert "no host a" in spark.run("--host", "a", "ps").expect(2).err
    (tmp_path / "hosts.yaml").write_text(TWO)
    assert "spark-b" in spark.run("hosts", "list").expect(0).out
    assert spark.run("--host", "local", "ps").expect(0)
