"""A group in a stack over several hosts: placed on one fabric, started and ended as one, and undone with the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.groups.kept import kept
from sparkctl.world import labels
from tests.support.fake_engine import dies
from tests.support.fakes import FakeReport
from tests.support.fleet import Fleet

if TYPE_CHECKING:
    from pathlib import Path

PAIR = "nodes: 2\nargs: {tensor-parallel-size: 2}\n"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    found = Fleet(tmp_path, ("one", "two", "three"))
    lines = [
        f"  {name}: {{ssh: spark-{name}, fabric: {{address: 10.0.0.{place}, interface: enp1s0f1np1}}}}\n"
        for place, name in enumerate(found.names, 1)
    ]
    (tmp_path / "hosts.yaml").write_text(f"hosts:\n{''.join(lines)}")
    found.recipe("a", 9001, PAIR)
    return found


def ranks(fleet: Fleet, name: str = "sa") -> dict[str, int]:
    found = {}
    for host, spark in fleet.hosts.items():
        container = spark.engine.container(name)
        group = None if container is None else labels.read(container.labels).group
        if group is not None:
            found[host] = group.rank
    return found


def ids(fleet: Fleet) -> list[str]:
    found = [spark.engine.container("sa") for spark in fleet.hosts.values()]
    return [one.id for one in found if one is not None]


def test_a_group_starts_on_its_hosts_and_is_left_alone_then(fleet: Fleet) -> None:
    fleet.stack("a; b host: three")
    assert "sa (rank 1)" in fleet.run("plan", "fleet").expect(0).out
    assert "sa: does not run on" in fleet.run("diff", "fleet").expect(9).out
    done = fleet.run("apply", "fleet").expect(0)
    assert "sa: ready at" in done.err
    assert sorted(ranks(fleet).values()) == [0, 1]
    assert "sa" in kept(fleet.mine.world(FakeReport()))
    before = ids(fleet)
    again = fleet.run("apply", "fleet").expect(0)
    assert "fleet is as declared" in again.err
    assert ids(fleet) == before
    fleet.run("diff", "fleet").expect(0)
    assert "runs; is replaced if it differs" in fleet.run("plan", "fleet").expect(0).out


def test_a_group_that_differs_is_replaced_and_one_that_is_pinned_elsewhere_moves(fleet: Fleet) -> None:
    fleet.stack("a host: [one, two]")
    fleet.run("apply", "fleet").expect(0)
    before = ids(fleet)
    fleet.stack("a host: [one, two], set: {limits.context: 8192}")
    differs = fleet.run("diff", "fleet").expect(9).out
    assert "sa: on one: sa: --max-model-len" in differs
    assert "sa: on two: sa: --max-model-len" in differs
    fleet.run("apply", "fleet").expect(0)
    fleet.run("diff", "fleet").expect(0)
    assert set(ids(fleet)).isdisjoint(before)
    fleet.stack("a host: [two, three], set: {limits.context: 8192}")
    assert "sa: moves from one" in fleet.run("diff", "fleet").expect(9).out
    fleet.run("apply", "fleet").expect(0)
    assert ranks(fleet) == {"two": 0, "three": 1}


def test_a_group_that_fails_undoes_the_services_of_all_hosts(fleet: Fleet) -> None:
    fleet.stack("b host: three")
    fleet.run("apply", "fleet").expect(0)
    fleet.stack("a host: [one, two]; b host: three, set: {limits.context: 8192}; c host: one")
    fleet.hosts["two"].engine.on_start["sa"] = dies()
    done = fleet.run("apply", "fleet").expect(5)
    assert "three: as it was before" in done.err
    assert fleet.where() == {"sb": "three"}
    assert fleet.laid_over("three", "sb") == ()
    assert ranks(fleet) == {}


def test_a_group_that_is_declared_no_more_is_pruned_on_all_its_hosts_and_forgotten(fleet: Fleet) -> None:
    fleet.stack("a host: [one, two]; b host: three")
    fleet.run("apply", "fleet").expect(0)
    fleet.stack("b host: three")
    assert "--prune removes them): sa" in fleet.run("apply", "fleet").expect(0).err
    assert ranks(fleet) == {"one": 0, "two": 1}
    fleet.run("apply", "fleet", "--prune").expect(0)
    assert ranks(fleet) == {}
    assert kept(fleet.mine.world(FakeReport())) == {}


def test_a_host_that_does_not_answer_keeps_its_rank(fleet: Fleet) -> None:
    fleet.stack("a host: [one, two]; b host: three")
    fleet.run("apply", "fleet").expect(0)
    fleet.down("two")
    done = fleet.run("apply", "fleet").expect(4)
    assert "two does not answer: sa is left there as it is" in done.err
    assert fleet.where()["sa"] == "one,two"


def test_what_a_group_lacks_is_found_before_anything_starts(fleet: Fleet) -> None:
    fleet.hosts["two"].models.missing = {"gemma4-e4b-nvfp4": "is not there"}
    fleet.stack("a host: [one, two]; b host: three")
    refused = fleet.run("apply", "fleet").expect(2)
    assert "two: the model of sa is not there" in refused.err
    assert fleet.changed() == []
