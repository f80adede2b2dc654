"""One plan over several hosts: which host runs what, what stays, what a host that does not answer keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.base.units import GIB
from sparkctl.operations.stack.over_hosts.look import recipes_of, services_of
from tests.support.fakes import FakeReport
from tests.support.fleet import Fleet

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import Done


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def where(done: Done) -> dict[str, list[str]]:
    return {one["name"]: one["hosts"] for one in done.json["services"]}


def actions(done: Done) -> dict[str, str]:
    return {one["name"]: one["action"] for one in done.json["services"]}


def test_each_host_is_shown_with_its_memory_and_what_goes_there(fleet: Fleet) -> None:
    fleet.stack("a; b host: two; c start: on-demand; d")
    done = fleet.run("plan", "fleet").expect(0)
    assert "one: 110.0 GiB available of 120.0 GiB, 10.0 GiB kept in reserve" in done.out
    lines = [line.split() for line in done.out.splitlines() if line.startswith(("one ", "two "))]
    assert [(words[0], words[1]) for words in lines] == [("one", "sa"), ("one", "sd"), ("two", "sb"), ("two", "sc")]
    assert "runs when it is asked for" in done.out
    assert fleet.changed() == [], "a plan touches nothing"


def test_a_refusal_names_the_host_and_what_is_missing_there(fleet: Fleet) -> None:
    for spark in fleet.hosts.values():
        spark.host.available = 45 * GIB
    fleet.stack("a; b; c")
    done = fleet.run("plan", "fleet").expect(3)
    assert "sc: one comes nearest: " in done.err
    assert "GiB are missing there" in done.err
    shown = fleet.run("plan", "fleet", "--json").expect(3).json
    assert not shown["fits"]
    (refused,) = shown["refused"]
    assert (refused["service"], refused["host"]) == ("sc", "one")
    assert refused["missing_bytes"] > 0
    assert [one["services"] for one in shown["hosts"]] == [["sa"], ["sb"]]


def test_what_runs_stays_where_it_is_and_what_changed_is_replaced_there(fleet: Fleet) -> None:
    fleet.stack("a; b")
    fleet.run("--host", "two", "up", "sa").expect(0)
    done = fleet.run("plan", "fleet", "--json").expect(0)
    assert where(done) == {"sa": ["two"], "sb": ["two"]}, "the fullest that has room"
    assert actions(done) == {"sa": "stays", "sb": "starts"}
    fleet.stack("a set: {limits.context: 8192}; b")
    done = fleet.run("plan", "fleet", "--json").expect(0)
    assert (where(done)["sa"], actions(done)["sa"]) == (["two"], "changes")
    fleet.stack("a host: one; b")
    done = fleet.run("plan", "fleet").expect(0)
    assert "moves here from two" in done.out


def test_a_host_that_does_not_answer_gets_nothing_new(fleet: Fleet) -> None:
    fleet.stack("a; b; c")
    fleet.down("one")
    done = fleet.run("plan", "fleet").expect(0)
    assert "one: does not answer" in done.out
    assert "one is not reached: it does not answer → is it switched on?" in done.err
    assert set(map(tuple, where(fleet.run("plan", "fleet", "--json")).values())) == {("two",)}
    fleet.down("two")
    assert "none of the hosts of fleet answered" in fleet.run("plan", "fleet").expect(4).err


def test_pins_labels_and_words_that_keep_apart_count(fleet: Fleet) -> None:
    (fleet.folder / "hosts.yaml").write_text(
        "hosts:\n  one: {ssh: spark-one}\n  two: {ssh: spark-two, labels: {room: cellar}}\n"
    )
    fleet.stack("a spread: chat; b spread: chat; c labels: {room: cellar}; d labels: {room: roof}")
    done = fleet.run("plan", "fleet", "--json").expect(3)
    assert sorted([*where(done)["sa"], *where(done)["sb"]]) == ["one", "two"]
    assert where(done)["sc"] == ["two"]
    assert done.json["refused"][0]["why"] == "sd: no host may take it: no host has the label room=roof"


def test_a_host_with_the_models_files_comes_first_and_ports_of_others_are_taken(fleet: Fleet) -> None:
    fleet.hosts["one"].models.missing = {"gemma-4-E4B-it-NVFP4": "is not there"}
    fleet.stack("a; b")
    found = where(fleet.run("plan", "fleet", "--json").expect(0))
    assert len({tuple(one) for one in found.values()}) == 1
    fleet.hosts["one"].models.missing = {}
    fleet.run("--host", "one", "up", "ra").expect(0)
    assert where(fleet.run("plan", "fleet", "--json").expect(0))["sa"] == ["two"], "its port is ra's on the other"


def test_recipes_are_planned_over_all_hosts_without_a_stack(fleet: Fleet) -> None:
    fleet.hosts["one"].host.available = 45 * GIB
    done = fleet.run("plan", "ra", "rb", "rc", "--all-hosts", "--json").expect(0)
    assert sorted(one["name"] for one in done.json["services"]) == ["ra", "rb", "rc"]
    assert set(map(tuple, where(done).values())) == {("one",), ("two",)}
    assert "is not for" not in done.err
    assert "no recipe" in fleet.run("plan", "nobody", "--all-hosts").expect(2).err


def test_a_stack_for_one_machine_is_planned_over_all_when_that_is_asked_for(fleet: Fleet) -> None:
    fleet.stack("a; b")
    path = fleet.folder / "recipes/stacks/fleet.yaml"
    path.write_text(path.read_text().partition("\n")[2])
    assert set(where(fleet.run("plan", "fleet", "--all-hosts", "--json").expect(0))) == {"sa", "sb"}
    assert (
        "fleet is a stack: over all hosts one stack is planned"
        in fleet.run("plan", "fleet", "rc", "--all-hosts").expect(2).err
    )


@pytest.mark.parametrize("more", [("--set", "limits.context=512"), ("--fit",), ("--as", "x"), ("--host", "gb10-119")])
def test_options_that_have_no_meaning_over_hosts_are_refused(fleet: Fleet, more: tuple[str, ...]) -> None:
    fleet.stack("a")
    assert f"over several hosts there is no {more[0]}" in fleet.run("plan", "fleet", *more).expect(2).err


def test_hosts_that_are_not_declared_are_named_at_their_line(fleet: Fleet) -> None:
    fleet.stack("a", hosts="one, tow")
    refused = fleet.run("plan", "fleet").expect(2).err
    assert "fleet.yaml:1:14" in refused
    assert "no host tow in" in refused
    assert "did you mean two?" in refused
    assert "no host tow in" in fleet.run("recipes", "lint", "fleet").expect(2).err
    (fleet.folder / "hosts.yaml").unlink()
    assert "there is no hosts.yaml" in fleet.run("plan", "fleet").expect(2).err
    assert "there are no hosts" in fleet.run("plan", "ra", "--all-hosts").expect(2).err


def test_a_group_gets_hosts_of_one_fabric_and_is_shown_by_ranks(fleet: Fleet) -> None:
    fleet.recipe("a", 9001, "nodes: 2\nargs: {tensor-parallel-size: 2}\n")
    fleet.stack("a; b")
    assert "no fabric has 2 hosts" in fleet.run("plan", "fleet").expect(3).err
    lines = [
        f"  {n}: {{ssh: spark-{n}, fabric: {{address: 10.0.0.{i}, interface: e}}}}" for i, n in ((1, "one"), (2, "two"))
    ]
    (fleet.folder / "hosts.yaml").write_text("\n".join(["hosts:", *lines, ""]))
    done = fleet.run("plan", "fleet").expect(0)
    assert "sa (rank 0)" in done.out
    assert "sa (rank 1)" in done.out
    fleet.stack("a host: [two, one]; b")
    shown = fleet.run("plan", "fleet", "--json").expect(0)
    assert where(shown)["sa"] == ["two", "one"]
    head, worker = next(one["ranks"] for one in shown.json["services"] if one["name"] == "sa")
    assert head["steady_bytes"] > worker["steady_bytes"], "the worker has no server"


def test_fits_says_of_each_recipe_on_which_hosts_it_fits(fleet: Fleet) -> None:
    fleet.hosts["two"].host.available = 20 * GIB
    fleet.run("--host", "one", "up", "ra").expect(0)
    done = fleet.run("fits", "--all-hosts").expect(0)
    line = next(line for line in done.out.splitlines() if line.startswith("rb "))
    assert line.split()[3] == "one"
    by_host = {one["host"]: one["fits"]["recipes"] for one in fleet.run("fits", "--all-hosts", "--json").json}
    assert next(one["fits"] for one in by_host["one"] if one["name"] == "ra") == "runs"
    fleet.down("two")
    refused = fleet.run("fits", "--all-hosts").expect(4)
    assert "not known what fits on two" in refused.err
    assert "rb " in refused.out
    fleet.run("fits", "--all-hosts", "--speed").expect(2)


def test_a_footprint_is_counted_once_for_services_that_differ_in_how_they_are_asked_alone(fleet: Fleet) -> None:
    lines = [f"  s{number}: {{recipe: ra, set: {{serve.port: {9100 + number}}}}}\n" for number in range(3)]
    path = fleet.folder / "recipes/stacks/many.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"services:\n{''.join(lines)}  tt: {{recipe: ra, priority: 3, set: {{limits.context: 512}}}}\n")
    world = fleet.mine.world(FakeReport())
    recipes = recipes_of(world, world.catalog.stack("many"))
    found = services_of([fleet.hosts["one"].world(FakeReport())], recipes)
    assert found["s0"].footprint is found["s1"].footprint is found["s2"].footprint
    assert found["tt"].footprint is not found["s0"].footprint
    assert {name: (one.wanted.name, one.wanted.priority) for name, one in found.items()} == {
        **{f"s{number}": (f"s{number}", 0) for number in range(3)},
        "tt": ("tt", 3),
    }


def test_what_is_said_of_other_hosts_is_not_simulated_whatever_engine_this_machine_has(fleet: Fleet) -> None:
    fleet.stack("a")
    fleet.mine.simulated = True
    assert "simulated" not in fleet.run("plan", "fleet").expect(0).out
    (fleet.folder / "hosts.yaml").write_text("hosts:\n  one: {ssh: spark-one}\n  two: {ssh: local}\n")
    assert "simulated" in fleet.run("plan", "fleet").expect(0).out


def test_a_model_that_is_not_on_the_host_is_said_with_the_command_that_brings_it(fleet: Fleet) -> None:
    fleet.hosts["two"].models.missing = {"gemma4-e4b-nvfp4": "is not there"}
    fleet.stack("a host: one; b host: two; c host: two")
    planned = fleet.run("plan", "fleet").expect(0)
    assert "two: no model there for sb, sc → sparkctl hosts distribute rb rc --to two" in planned.err
    refused = fleet.run("apply", "fleet").expect(2)
    assert "two: the model of sb is not there\ntwo: the model of sc is not there" in refused.err
    assert "sparkctl hosts distribute rb rc --to two" in refused.err
    assert fleet.changed() == []
    fleet.run("apply", "fleet", "--dry-run").expect(0)
