"""A stack is made so on several hosts: on all of them or on none, and what moves answers meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError, InputError
from sparkctl.base.units import GIB
from sparkctl.operations.spark import Spark
from sparkctl.operations.stack.one_at_a_time import APPLYING
from sparkctl.planning.box.generation import APPLIED, FAILED, PENDING, GenerationEnd
from tests.support.fake_engine import dies
from tests.support.fake_world import IMAGE
from tests.support.fakes import FakeReport
from tests.support.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sparkctl.world.engine import Container

SMALLER = "set: {limits.context: 8192}"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def wholes(fleet: Fleet) -> set[str]:
    applied = [fleet.generations(host).applied() for host in fleet.names]
    return {one.whole for one in applied if one is not None}


def test_each_host_gets_its_part_and_a_generation_of_it(fleet: Fleet) -> None:
    fleet.stack("a; b host: two; c host: two, start: on-demand; d")
    done = fleet.run("apply", "fleet").expect(0)
    assert fleet.where() == {"sa": "one", "sb": "two", "sd": "one"}
    assert "two: sb: ready at http://127.0.0.1:9002" in done.err
    assert "two: not started by an apply: sc (start: on-demand)" in done.err
    assert "fleet is applied: one: generation 1, two: generation 1" in done.err
    parts = {host: [one.name for one in fleet.generations(host).all()[0].services] for host in fleet.names}
    assert parts == {"one": ["sa", "sd"], "two": ["sb", "sc"]}
    assert len(wholes(fleet)) == 1
    assert wholes(fleet) != {""}
    assert fleet.outcomes("one") == fleet.outcomes("two") == [APPLIED]


def test_what_is_so_already_is_left_alone_everywhere(fleet: Fleet) -> None:
    fleet.stack("a host: one; b host: two")
    fleet.run("apply", "fleet").expect(0)
    fleet.changed()
    done = fleet.run("apply", "fleet").expect(0)
    assert "fleet is as declared: one: generation 1, two: generation 1" in done.err
    assert fleet.changed() == []
    assert fleet.run("diff", "fleet").expect(0).out == ""


def test_what_changes_on_one_host_makes_a_generation_on_each_and_touches_the_others_nothing(fleet: Fleet) -> None:
    fleet.stack("a host: one; b host: two")
    fleet.run("apply", "fleet").expect(0)
    fleet.changed()
    fleet.stack(f"a host: one; b host: two, {SMALLER}")
    fleet.run("apply", "fleet").expect(0)
    assert [one for one in fleet.changed() if one.startswith("one")] == []
    assert fleet.laid_over("two", "sb") == ("limits.context=8192",)
    assert fleet.outcomes("one") == fleet.outcomes("two") == [APPLIED, APPLIED]
    assert len(wholes(fleet)) == 1


def test_a_service_that_moves_starts_there_before_it_ends_here(fleet: Fleet) -> None:
    fleet.stack("a; b")
    fleet.run("apply", "fleet").expect(0)
    seen: list[dict[str, str]] = []

    def started(container: Container) -> Container:
        seen.append({name: state for name, state in fleet.there()["one"].items() if name == "sa"})
        return container._replace(state="running")

    fleet.hosts["two"].engine.on_start["sa"] = started
    fleet.stack("a host: two; b")
    said = fleet.run("diff", "fleet").expect(9).out
    assert "sa: moves from one to two" in said
    assert "removed" not in said
    done = fleet.run("apply", "fleet").expect(0)
    assert seen == [{"sa": "running"}], "it answered on the old host while it started on the new one"
    assert fleet.where() == {"sa": "two", "sb": "one"}
    assert "--prune" not in done.out + done.err
    fleet.run("diff", "fleet").expect(0)


def test_only_what_this_stack_had_is_pruned_and_only_when_asked(fleet: Fleet) -> None:
    fleet.run("--host", "two", "up", "rc").expect(0)
    fleet.stack("a host: one; b host: two")
    fleet.run("apply", "fleet").expect(0)
    fleet.stack("a host: one")
    assert "declared no more (--prune removes them): sb" in fleet.run("apply", "fleet").expect(0).err
    assert fleet.where() == {"rc": "two", "sa": "one", "sb": "two"}
    fleet.run("apply", "fleet", "--prune").expect(0)
    assert fleet.where() == {"rc": "two", "sa": "one"}
    fleet.run("diff", "fleet").expect(9)  # rc is nobody's
    fleet.run("--host", "two", "down", "rc").expect(0)
    fleet.run("diff", "fleet").expect(0)


def test_a_dry_run_touches_nothing(fleet: Fleet) -> None:
    fleet.stack("a host: one; b host: two")
    done = fleet.run("apply", "fleet", "--dry-run").expect(0)
    assert "1. start sb" in done.out
    assert "nothing was done: this was a dry run" in done.err
    shown = fleet.run("apply", "fleet", "--dry-run", "--json").expect(0).json
    assert [one["act"] for one in shown["hosts"]["two"]["acts"]] == ["start"]
    assert (fleet.changed(), fleet.outcomes("one")) == ([], [])


def test_a_stack_without_a_place_is_refused_before_anything_is_touched(fleet: Fleet) -> None:
    fleet.hosts["two"].host.available = 20 * GIB
    fleet.stack("a host: one; b host: two")
    refused = fleet.run("apply", "fleet").expect(3)
    assert "sb: two comes nearest" in refused.err
    assert (fleet.changed(), fleet.outcomes("one")) == ([], [])


def test_what_does_not_become_ready_undoes_all_hosts_and_the_message_says_how_each_is_h6(fleet: Fleet) -> None:
    fleet.stack("a host: one; b host: two; c host: one")
    fleet.run("apply", "fleet").expect(0)
    ids = {name: fleet.hosts["one"].engine.container(name) for name in ("sa", "sc")}
    fleet.stack(f"a host: one, {SMALLER}; b host: two, {SMALLER}; d host: one")
    fleet.hosts["two"].engine.on_start["sb"] = dies()
    done = fleet.run("apply", "fleet").expect(5)
    assert "error: two: sb is not ready: the container exited with code 1" in done.err
    assert "one: as it was before\ntwo: as it was before" in done.err
    assert fleet.where() == {"sa": "one", "sb": "two", "sc": "one"}
    assert (fleet.laid_over("one", "sa"), fleet.laid_over("two", "sb")) == ((), ())
    assert fleet.hosts["one"].engine.container("sc") == ids["sc"]
    assert fleet.outcomes("one") == fleet.outcomes("two") == [APPLIED, FAILED]
    fleet.hosts["two"].engine.on_start.clear()
    fleet.run("apply", "fleet", "--prune").expect(0)
    assert fleet.where() == {"sa": "one", "sb": "two", "sd": "one"}


def lost_at(fleet: Fleet, host: str) -> Callable[[Container], Container]:
    """Return what lets a host be lost when a container starts on another one."""

    def lost(container: Container) -> Container:
        fleet.hosts[host].engine.away = EngineError(f"{host}: the connection ended")
        return container._replace(state="running")

    return lost


def test_a_host_that_is_lost_while_others_start_undoes_those_that_answer_h6(fleet: Fleet) -> None:
    fleet.stack("a host: one; b host: two, after: [sa]")
    fleet.hosts["one"].engine.on_start["sa"] = lost_at(fleet, "two")
    done = fleet.run("apply", "fleet").expect(4)
    assert "one: as it was before" in done.err
    assert "two: does not answer any more (two: the connection ended)" in done.err
    fleet.hosts["two"].engine.away = None
    assert fleet.there()["one"] == {}
    fleet.hosts["one"].engine.on_start.clear()
    fleet.run("apply", "fleet").expect(0)
    assert fleet.where() == {"sa": "one", "sb": "two"}


def test_a_host_that_is_lost_when_only_something_ends_there_leaves_the_others_as_declared(fleet: Fleet) -> None:
    fleet.stack("a host: one; b host: one")
    fleet.run("apply", "fleet").expect(0)
    fleet.stack("a host: two; b host: one")
    fleet.hosts["two"].engine.on_start["sa"] = lost_at(fleet, "one")
    done = fleet.run("apply", "fleet").expect(4)
    assert "one: one: the connection ended: what was to end there may still run" in done.err
    assert "two: is as declared" in done.err
    assert fleet.outcomes("two") == [APPLIED]
    fleet.hosts["one"].engine.away = None
    fleet.run("apply", "fleet").expect(0)
    assert fleet.where() == {"sa": "two", "sb": "one"}
    fleet.run("diff", "fleet").expect(0)


def test_a_host_that_is_down_keeps_its_services_and_losing_it_moves_only_these_h5(fleet: Fleet) -> None:
    fleet.stack("a; b; c")
    fleet.hosts["one"].host.available = 65 * GIB
    fleet.run("apply", "fleet").expect(0)
    before = fleet.where()
    assert sorted(before.values()) == ["one", "one", "two"]
    there = fleet.reach.there.pop("spark-one")
    done = fleet.run("apply", "fleet").expect(4)
    kept = ", ".join(name for name, host in before.items() if host == "one")
    assert f"one does not answer: {kept} is left there as it is" in done.err
    assert fleet.where() == before
    fleet.stack("a; b; c", hosts="two")
    fleet.run("apply", "fleet").expect(0)
    moved = {name: "one,two" if host == "one" else "two" for name, host in before.items()}
    assert fleet.where() == moved, "what runs on the lost host is not known"
    fleet.reach.there["spark-one"] = there
    fleet.stack("a; b; c")
    assert "is on" in fleet.run("diff", "fleet").expect(9).out
    fleet.run("apply", "fleet").expect(0)
    assert sorted(fleet.where()) == ["sa", "sb", "sc"]
    assert not any("," in hosts for hosts in fleet.where().values()), "each runs once again"


def test_two_operators_do_not_wait_for_each_other_for_ever_h16(fleet: Fleet) -> None:
    fleet.stack("a host: one; b host: two")
    fleet.hosts["two"].locks.working.add(APPLYING)
    done = fleet.run("apply", "fleet").expect(4)
    assert "two: another command puts a stack into effect on this engine" in done.err
    assert APPLYING not in fleet.hosts["one"].locks.working, "what it held of the first host is free again"
    assert fleet.changed() == []
    assert fleet.outcomes("one") == []


def test_what_a_killed_apply_left_is_found_on_each_host_and_finished(fleet: Fleet) -> None:
    fleet.stack("a host: one; b host: two")
    fleet.run("apply", "fleet").expect(0)
    fleet.stack(f"a host: two; b host: two, {SMALLER}")
    fleet.run("apply", "fleet").expect(0)
    for host in fleet.names:  # as if it had been killed before it kept how it ended
        store = fleet.hosts[host].store
        store.kept = [one for one in store.kept if not (one.kind == "generation-end" and one.recipe == "2")]
    assert fleet.outcomes("two") == [APPLIED, PENDING]
    assert "generation 2 (fleet, by user 0) did not come to its end" in fleet.run("diff", "fleet").expect(9).err
    fleet.run("apply", "fleet").expect(0)
    assert fleet.where() == {"sa": "two", "sb": "two"}
    assert fleet.outcomes("two")[-1] == APPLIED
    assert len({fleet.generations("two").applied().whole}) == 1  # type: ignore[union-attr]
    fleet.run("diff", "fleet").expect(0)


def test_an_apply_that_ended_between_two_hosts_is_said_and_finished(fleet: Fleet) -> None:
    fleet.stack("a host: one; b host: two")
    fleet.run("apply", "fleet").expect(0)
    generations = fleet.generations("two")
    applied = generations.applied()
    assert applied is not None
    generations.end(GenerationEnd(applied.number, FAILED, 1.0, "killed"))
    assert fleet.run("diff", "fleet").expect(9)
    fleet.run("apply", "fleet").expect(0)
    assert len(wholes(fleet)) == 1
    fleet.run("diff", "fleet").expect(0)


def test_who_comes_after_one_on_another_host_waits_for_it(fleet: Fleet) -> None:
    fleet.stack("a host: one, after: [sb]; b host: two")
    fleet.run("apply", "fleet").expect(0)
    assert [one for one in fleet.changed() if "start" in one] == ["one: start sa", "two: start sb"]
    order: list[str] = []
    for host, name in (("one", "sa"), ("two", "sb")):
        fleet.hosts[host].engine.on_start[name] = lambda one: order.append(one.name) or one._replace(state="running")
    fleet.run("--host", "one", "down", "sa").expect(0)
    fleet.run("--host", "two", "down", "sb").expect(0)
    fleet.run("apply", "fleet").expect(0)
    assert order == ["sb", "sa"]


def test_what_starts_a_stack_on_one_machine_alone_refuses_it(fleet: Fleet) -> None:
    fleet.stack("a; b")
    refused = fleet.run("up", "fleet").expect(2).err
    assert "fleet lists its hosts, and this starts services on one machine alone" in refused
    assert "sparkctl apply fleet" in refused
    fleet.run("--host", "two", "up", "sb").expect(0)
    fleet.run("apply", "fleet").expect(0)
    assert fleet.where()["sb"] == "two", "what was started by hand is taken over"


def test_the_machine_of_the_operator_may_be_one_of_the_hosts(fleet: Fleet) -> None:
    (fleet.folder / "hosts.yaml").write_text("hosts:\n  here: {ssh: local}\n  two: {ssh: spark-two}\n")
    fleet.stack("a host: here; b host: two", hosts="here, two", more="gateway: {port: 8090}\n")
    fleet.run("apply", "fleet").expect(0)
    assert [one.name for one in fleet.mine.engine.containers()] == ["sa"]
    assert fleet.where() == {"sb": "two"}
    there = fleet.generations("two").applied()
    assert there is not None
    assert there.gateway is None, "the gateway is this machine's"


def test_one_host_can_be_named_for_a_stack_of_its_own_and_for_what_it_has_of_another(fleet: Fleet) -> None:
    fleet.stack("a host: one; b host: two")
    assert (
        "fleet is for several hosts, and --host names two alone"
        in fleet.run("--host", "two", "apply", "fleet").expect(2).err
    )
    fleet.run("--host", "two", "plan", "ra", "--all-hosts").expect(2)
    fleet.run("apply", "fleet").expect(0)
    assert "fleet" in fleet.run("--host", "two", "history").expect(0).out
    seen = fleet.run("--host", "two", "diff").expect(0)
    assert "fleet is for several hosts: this holds its part here against what was applied" in seen.err
    box = fleet.folder / "box.yaml"
    box.write_text("services: {sc: {recipe: rc}}\n")
    fleet.run("--host", "two", "apply", str(box)).expect(0)
    assert fleet.where() == {"sa": "one", "sb": "two", "sc": "two"}


def test_a_lock_of_the_whole_is_held_against_each_hosts_part(fleet: Fleet) -> None:
    fleet.stack("a host: one; b host: two")
    fleet.run("lock", "fleet").expect(0)
    fleet.run("apply", "fleet", "--locked").expect(0)
    assert fleet.where() == {"sa": "one", "sb": "two"}
    engine = fleet.hosts["two"].engine
    engine.tagged[IMAGE] = "sha256:" + "b" * 64
    engine.images["b" * 64] = {}
    refused = fleet.run("apply", "fleet", "--locked").expect(2).err
    assert "two: not as it was locked:\nsb: image" in refused


def test_the_same_machine_under_two_names_is_refused_h2(fleet: Fleet) -> None:
    fleet.stack("a")
    fleet.reach.there["spark-two"].facts = fleet.reach.there["spark-one"].facts
    assert "one and two are the same machine" in fleet.run("apply", "fleet").expect(2).err
    assert "one and two are the same machine" in fleet.run("plan", "fleet").expect(2).err


def test_an_apply_that_is_interrupted_keeps_what_was_changed_and_is_finished_by_the_next(fleet: Fleet) -> None:
    def interrupts(_: Container) -> Container:
        raise KeyboardInterrupt

    fleet.stack("a host: one; b host: two")
    fleet.hosts["two"].engine.on_start["sb"] = interrupts
    fleet.run("apply", "fleet").expect(130)
    assert fleet.where() == {"sa": "one"}
    assert fleet.outcomes("one") == fleet.outcomes("two") == [FAILED]
    fleet.hosts["two"].engine.on_start.clear()
    fleet.run("apply", "fleet").expect(0)
    assert fleet.where() == {"sa": "one", "sb": "two"}


def test_a_program_plans_compares_and_applies_as_the_commands_do(fleet: Fleet) -> None:
    spark = Spark(fleet.mine.world(FakeReport()))
    fleet.stack("a host: one; b host: two")
    assert spark.plan_on_hosts("fleet").placement.where == {"sa": ("one",), "sb": ("two",)}
    assert not spark.diff_on_hosts("fleet").same
    done = spark.apply_on_hosts("fleet")
    assert ({host: one.number for host, one in done.generations.items()}, done.already) == ({"one": 1, "two": 1}, False)
    assert spark.diff_on_hosts("fleet").same
    assert spark.apply_on_hosts("fleet").already
    with pytest.raises(InputError, match="pair is no stack that lists its hosts"):
        spark.plan_on_hosts("pair")
    fleet.down("two")
    with pytest.raises(EngineError, match="two does not answer: sb is left there as it is"):
        spark.apply_on_hosts("fleet")
