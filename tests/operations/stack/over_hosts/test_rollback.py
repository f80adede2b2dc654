"""What was applied over several hosts before the last time is brought back on all of them, or on none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.planning.box.generation import APPLIED, FAILED
from tests.support.fake_engine import dies
from tests.support.fleet import Fleet

if TYPE_CHECKING:
    from pathlib import Path

SMALLER = "set: {limits.context: 8192}"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    found = Fleet(tmp_path)
    found.stack("a host: one; b host: two")
    found.run("apply", "fleet").expect(0)
    found.stack(f"a host: two; b host: two, {SMALLER}; c host: one")
    found.run("apply", "fleet").expect(0)
    assert found.where() == {"sa": "two", "sb": "two", "sc": "one"}
    return found


def test_what_moved_and_what_changed_is_as_it_was_on_every_host_h6(fleet: Fleet) -> None:
    done = fleet.run("rollback", "--all-hosts").expect(0)
    assert "back to fleet as it was applied at" in done.err
    assert "two: sa ends there" in done.out
    assert fleet.where() == {"sa": "one", "sb": "two", "sc": "one"}, "what came later stays"
    assert fleet.laid_over("two", "sb") == ()
    assert "fleet is back: one: generation 3, two: generation 3" in done.err
    kept = [fleet.generations(host).applied() for host in fleet.names]
    first = fleet.generations("one").get(1).whole
    assert [one.whole for one in kept if one is not None] == [first, first]
    fleet.stack("a host: one; b host: two")
    fleet.run("apply", "fleet", "--prune").expect(0)
    fleet.run("diff", "fleet").expect(0)


def test_what_came_later_goes_when_that_is_asked_for_and_a_dry_run_touches_nothing(fleet: Fleet) -> None:
    fleet.changed()
    shown = fleet.run("rollback", "--all-hosts", "--prune", "--dry-run", "--json").expect(0).json
    assert {host: one["goes"] for host, one in shown["hosts"].items()} == {"one": ["sc"], "two": ["sa"]}
    assert "nothing was done: this was a dry run" in fleet.run("rollback", "--all-hosts", "--dry-run").expect(0).err
    assert fleet.changed() == []
    fleet.run("rollback", "--all-hosts", "--prune").expect(0)
    assert fleet.where() == {"sa": "one", "sb": "two"}


def test_a_host_that_had_no_part_then_has_none_again(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.stack("a host: one")
    fleet.run("apply", "fleet").expect(0)
    fleet.stack("a host: two")
    fleet.run("apply", "fleet").expect(0)
    fleet.run("rollback", "--all-hosts").expect(0)
    assert fleet.where() == {"sa": "one"}


def test_what_does_not_become_ready_is_undone_on_every_host(fleet: Fleet) -> None:
    before = fleet.where()
    fleet.hosts["two"].engine.on_start["sb"] = dies()
    done = fleet.run("rollback", "--all-hosts").expect(5)
    assert "one: as it was before\ntwo: as it was before" in done.err
    assert fleet.where() == before
    assert fleet.outcomes("two") == [APPLIED, APPLIED, FAILED]


def test_a_host_that_does_not_answer_stops_it_before_anything_is_touched(fleet: Fleet) -> None:
    fleet.changed()
    fleet.down("two")
    refused = fleet.run("rollback", "--all-hosts").expect(4).err
    assert "two has a part of it, and does not answer" in refused
    assert fleet.changed() == []


def test_where_there_is_nothing_to_go_back_to_that_is_said(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    assert "nothing was applied over several hosts yet" in fleet.run("rollback", "--all-hosts").expect(2).err
    assert "nothing was applied to any host yet" in fleet.run("history", "--all-hosts").expect(0).err
    fleet.stack("a")
    fleet.run("apply", "fleet").expect(0)
    assert "there is nothing to go back to" in fleet.run("rollback", "--all-hosts").expect(2).err
    fleet.run("rollback", "1", "--all-hosts").expect(2)
    (tmp_path / "hosts.yaml").unlink()
    assert "there are no hosts" in fleet.run("history", "--all-hosts").expect(2).err


def test_the_history_of_all_hosts_is_known_without_asking_them(fleet: Fleet) -> None:
    fleet.down("one", "two")
    lines = fleet.run("history", "--all-hosts").expect(0).out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["one", "1"], ["one", "2"], ["two", "1"], ["two", "2"]]
    rows = fleet.run("history", "--all-hosts", "--json").json
    assert [(row["host"], row["generation"], row["outcome"]) for row in rows[:2]] == [
        ("one", 1, APPLIED),
        ("one", 2, APPLIED),
    ]


def test_clocks_of_hosts_that_are_wrong_by_hours_change_nothing_h3(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.mine.clock.now = 5000.0
    fleet.hosts["two"].clock.now = 50_000.0
    fleet.stack("a host: one; b host: two")
    fleet.run("apply", "fleet").expect(0)
    fleet.mine.clock.now += 60.0
    fleet.stack(f"a host: one, {SMALLER}")
    fleet.run("apply", "fleet", "--prune").expect(0)
    fleet.run("rollback", "--all-hosts").expect(0)
    assert fleet.where() == {"sa": "one", "sb": "two"}
    assert fleet.laid_over("one", "sa") == ()
