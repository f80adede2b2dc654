"""kill -9 after each change that an apply makes on two hosts: the next apply finishes it, on both.

All is in this process: from the moment of the kill no door lets anything through any more, as if nobody were there.
"""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pytest

from sparkctl.base.units import GIB
from sparkctl.planning.box.generation import APPLIED
from tests.support.fake_engine import FakeEngine
from tests.support.fakes import FakeStore
from tests.support.fleet import FilledHost, Fleet
from tests.support.thorough import examples

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.world.ports import StoredRecord

SMALLER = "set: {limits.context: 8192}"


class KilledError(BaseException):
    """The process is no more."""


class Kills:
    """Counts changes on all hosts, and kills after the last one that is to be made; 0: never."""

    def __init__(self) -> None:
        self.last = 0
        self.count = 0

    def before(self) -> None:
        if self.last and self.count >= self.last:
            raise KilledError
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

    def killed(self, last: int) -> int:
        """Apply, and be killed after so many changes; return how many there were."""
        self.kills.last, self.kills.count = last, 0
        for spark in self.fleet.hosts.values():
            spark.locks.me = "gone"
        with suppress(KilledError):
            self.fleet.run("apply", "fleet", "--prune")
        count, self.kills.last = self.kills.count, 0
        for spark in self.fleet.hosts.values():
            spark.locks.me = "me"
        return count


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
def test_after_a_kill_at_any_moment_the_next_apply_finishes_on_both_hosts(name: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    ready = prepared(tmp_path, scenario)
    count = deepcopy(ready).killed(0)
    assert count > 5, "it does all of it"
    moments = range(1, count + 1)
    tried = moments[:: max(1, count // examples(count))]
    for last in tried:
        one = deepcopy(ready)
        assert one.killed(last) == last
        told = f"killed after {last} of {count} changes, with {one.fleet.there()}"
        done = one.fleet.run("apply", "fleet", "--prune")
        assert done.code == 0, f"{told}: {done.err}"
        assert one.fleet.where() == scenario.up, told
        assert {len(there) for there in one.fleet.there().values()} <= {0, 1, 2, 3}
        applied = [one.fleet.generations(host) for host in one.fleet.names]
        assert [of.outcome(of.last().number) for of in applied] == [APPLIED, APPLIED], told  # type: ignore[union-attr]
        assert len({of.applied().whole for of in applied}) == 1, told  # type: ignore[union-attr]
        assert one.fleet.run("diff", "fleet").code == 0, told
