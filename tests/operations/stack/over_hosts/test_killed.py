"""kill -9 after each change of an apply on two hosts, or a host lost then: the next apply finishes it, on both.

All is in this process: from the moment of the kill no door lets anything through any more, as if nobody were there.
"""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.base.units import GIB
from tests.operations.stack.over_hosts.test_groups import PAIR, ranks
from tests.support.dying import KilledError
from tests.support.fake_engine import FakeEngine
from tests.support.fakes import FakeStore
from tests.support.fleet import FilledHost, Fleet
from tests.support.thorough import examples

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.world.ports import StoredRecord

APPLY = ("apply", "fleet", "--prune")
BACK = ("rollback", "--all-hosts")
SMALLER = "set: {limits.context: 8192}"


class Kills:
    """Counts changes on all hosts, and kills after the last one that is to be made; 0: never.

    ``loses`` is an engine that does not answer any more from then on, in the place of a kill.
    """

    def __init__(self) -> None:
        self.last = 0
        self.count = 0
        self.loses: FakeEngine | None = None

    def before(self) -> None:
        if self.last and self.count >= self.last:
            if self.loses is None:
                raise KilledError
            self.loses.away = EngineError("the connection ended")
        self.count += 1


@dataclass
class KillableEngine(FakeEngine):
    kills: Kills | None = None

    def _do(self, call: str) -> None:
        if self.kills is not None and not call.startswith("ask"):
            self.kills.before()
        super()._do(call)


@dataclass
class KillableStore(FakeStore):
    kills: Kills | None = None

    def add(self, record: StoredRecord) -> None:
        if self.kills is not None:
            self.kills.before()
        super().add(record)


class Scenario(NamedTuple):
    """A stack that is applied, after ``before`` was; ``up`` is then what runs, and where.

    ``filled``: its hosts have no room for two of its services.
    """

    stack: str
    up: dict[str, str]
    before: str = ""
    filled: bool = False


SCENARIOS = {
    "the first apply": Scenario("a host: one; b host: two; c host: one", {"sa": "one", "sb": "two", "sc": "one"}),
    "moves, replaced and pruned": Scenario(
        f"a host: two; b host: two, {SMALLER}; c host: one",
        {"sa": "two", "sb": "two", "sc": "one"},
        "a host: one; b host: two; d host: one",
    ),
    "two that change places": Scenario(
        "a host: two; b host: one", {"sa": "two", "sb": "one"}, "a host: one; b host: two", filled=True
    ),
}


class Killable(NamedTuple):
    """A fleet whose command may be killed."""

    fleet: Fleet
    kills: Kills

    def killed(self, last: int, words: Sequence[str] = APPLY) -> int:
        """Apply, or run another command, and be killed after so many changes; return how many there were."""
        self.kills.last, self.kills.count = last, 0
        for spark in self.fleet.hosts.values():
            spark.locks.me = "gone"
        with suppress(KilledError):
            self.fleet.run(*words)
        count, self.kills.last = self.kills.count, 0
        for spark in self.fleet.hosts.values():
            spark.locks.me = "me"
        return count

    def lost(self, last: int, host: str) -> None:
        """Apply, and lose a host after so many changes."""
        engine = self.fleet.hosts[host].engine
        self.kills.last, self.kills.count, self.kills.loses = last, 0, engine
        assert self.fleet.run("apply", "fleet", "--prune").code in {0, 2, 4}
        engine.away, self.kills.last, self.kills.loses = None, 0, None

    def problem(self, scenario: Scenario) -> str:
        """Apply again, and return what is not as declared then, "" where all is."""
        done = self.fleet.run("apply", "fleet", "--prune")
        if done.code:
            return f"exit code {done.code}: {done.err}"
        every = [self.fleet.generations(host) for host in self.fleet.names]
        last, applied = [of.last() for of in every], [of.applied() for of in every]
        found = {
            "services": self.fleet.where() != scenario.up,
            "generations": last != applied,
            "wholes": len({one.whole for one in applied if one is not None}) != 1,
            "diff": self.fleet.run("diff", "fleet").code != 0,
            "working": any(spark.locks.working for spark in self.fleet.hosts.values()),
        }
        wrong = ", ".join(what for what, is_so in found.items() if is_so)
        return f"{wrong}: {self.fleet.there()}" if wrong else ""


def prepared(folder: Path, scenario: Scenario) -> Killable:
    fleet, kills = Fleet(folder), Kills()
    for name, spark in fleet.hosts.items():
        spark.engine = KillableEngine(images=spark.engine.images, kills=kills)
        spark.store = KillableStore(kills=kills)
        if scenario.filled:
            spark.host = FilledHost(engine=spark.engine)
        fleet.wire(name)
    if scenario.before:
        fleet.stack(scenario.before)
        fleet.run("apply", "fleet").expect(0)
    for spark in fleet.hosts.values():
        spark.host.available = (66 if scenario.filled else 110) * GIB
    fleet.stack(scenario.stack)
    return Killable(fleet, kills)


@pytest.mark.parametrize("name", SCENARIOS)
def test_after_a_kill_at_any_moment_the_next_apply_finishes_on_both_hosts_h17(name: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    ready = prepared(tmp_path, scenario)
    count = deepcopy(ready).killed(0)
    assert count > 5, "it does all of it"
    for last in moments(count):
        one = deepcopy(ready)
        assert one.killed(last) == last
        told = f"killed after {last} of {count} changes, with {one.fleet.there()}"
        assert one.problem(scenario) == "", told


@pytest.mark.parametrize("host", ["one", "two"])
def test_after_a_host_was_lost_at_any_moment_the_next_apply_finishes_on_both_h17(host: str, tmp_path: Path) -> None:
    scenario = SCENARIOS["moves, replaced and pruned"]
    ready = prepared(tmp_path, scenario)
    count = deepcopy(ready).killed(0)
    for last in moments(count):
        one = deepcopy(ready)
        one.lost(last, host)
        told = f"{host} lost after {last} of {count} changes, with {one.fleet.there()}"
        assert one.problem(scenario) == "", told


def test_after_a_kill_at_any_moment_of_a_rollback_the_same_one_finishes_on_both_hosts_h17(tmp_path: Path) -> None:
    ready = prepared(tmp_path, SCENARIOS["moves, replaced and pruned"])
    ready.fleet.run(*APPLY).expect(0)
    whole = deepcopy(ready)
    count = whole.killed(0, BACK)
    wanted = whole.fleet.where()
    assert wanted == {"sa": "one", "sb": "two", "sc": "one", "sd": "one"}
    for last in moments(count - 1):
        one = deepcopy(ready)
        assert one.killed(last, BACK) == last
        one.fleet.run(*BACK).expect(0)
        assert one.fleet.where() == wanted, f"killed after {last} of {count} changes"


@pytest.mark.parametrize("hosts", ["one, three", "two, one"])
def test_after_a_kill_at_any_moment_in_which_a_group_moves_the_next_apply_finishes_h17(
    hosts: str, tmp_path: Path
) -> None:
    ready = of_groups(tmp_path)
    ready.fleet.stack("a host: [one, two]; b host: three")
    ready.fleet.run(*APPLY).expect(0)
    ready.fleet.stack(f"a host: [{hosts}]; b host: three")
    assert "sa" in deepcopy(ready).fleet.run("diff", "fleet").expect(9).out, "diff says it"
    count = deepcopy(ready).killed(0)
    for last in moments(count):
        one = deepcopy(ready)
        assert one.killed(last) == last
        one.fleet.run(*APPLY).expect(0)
        assert ranks(one.fleet) == {host: rank for rank, host in enumerate(hosts.split(", "))}, f"killed after {last}"
        one.fleet.run("diff", "fleet").expect(0)


def of_groups(folder: Path) -> Killable:
    """Return a fleet of three hosts on a fabric, whose recipe ra is for two of them."""
    fleet, kills = Fleet(folder, ("one", "two", "three")), Kills()
    lines = [
        f"  {name}: {{ssh: spark-{name}, fabric: {{address: 10.0.0.{place}, interface: enp1s0f1np1}}}}\n"
        for place, name in enumerate(fleet.names, 1)
    ]
    (folder / "hosts.yaml").write_text(f"hosts:\n{''.join(lines)}")
    fleet.recipe("a", 9001, PAIR)
    for name, spark in fleet.hosts.items():
        spark.engine = KillableEngine(images=spark.engine.images, kills=kills)
        spark.store = KillableStore(kills=kills)
        fleet.wire(name)
    return Killable(fleet, kills)


def moments(count: int) -> range:
    """Return after how many changes it happens: of a part, after each eighth."""
    return range(1, count + 1)[:: max(1, count // examples(count))]
