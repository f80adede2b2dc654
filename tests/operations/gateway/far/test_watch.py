"""One other host, looked at: what is said of it, what a connection that ended costs, and one that hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.base.errors import EngineError
from sparkctl.operations.gateway.far.looking import NO_TLS
from sparkctl.operations.gateway.far.watch import BOX_S, HELD_S, HostLook, HostWatch, uptime_s
from sparkctl.operations.memory.asked_set import AskedSet
from sparkctl.operations.services.up import up
from sparkctl.planning.gateway.desk.service import DeskState
from sparkctl.recipes.hosts.declared import DeclaredHost
from sparkctl.world.labels import LABEL_SERVICE, LABEL_URL
from tests.support.command_line import wait_for
from tests.support.fake_hosts import FACTS, FakeReach, FakeThere
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport
from tests.support.gateway_bench import E4B

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.page.view import BoxView
    from sparkctl.world.host import MachineFacts


class Watched:
    """A host b on which a service runs, and who looks at it."""

    def __init__(self, folder: Path) -> None:
        self.spark = FakeSpark(folder)
        self.there = FakeThere(self.spark, FACTS._replace(boot_id="boot-b"))
        up(self.spark.world(FakeReport()), AskedSet((E4B,)))
        self.reach = FakeReach({"spark-b": self.there})
        self.report, self.watching = FakeReport(), False
        self.mine = FakeSpark(folder, reach=self.reach)
        self.world = self.mine.world(self.report)
        here, declared = FACTS._replace(boot_id="boot-a"), DeclaredHost(ssh="spark-b")
        self.told: list[HostLook] = []
        self.watch = HostWatch(self.world, ("b", declared), self.told.append, lambda: self.watching, lambda: here)


@pytest.fixture
def b(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_a_look_says_what_runs_how_it_is_asked_and_how_much_memory_there_is(b: Watched) -> None:
    found = b.watch.look()
    (one,) = found.services
    assert (found.problem, one.named.service, one.named.recipe) == (None, f"{E4B}@b", E4B)
    assert (one.seen.state, one.named.served) == (DeskState.READY, ("gemma-4-e4b",))
    assert one.server is not None
    assert b.watch.box is None, "which takes longer, and is no part of it"
    b.watch.look_at_box()
    assert b.watch.box is not None
    assert b.watch.box.memories[0].total_bytes > 0


def test_one_connection_serves_many_looks(b: Watched) -> None:
    for _ in range(3):
        assert b.watch.look().problem is None
    assert len(b.reach.asked) == 1


def test_a_connection_that_ended_is_made_anew_in_the_same_look(b: Watched) -> None:
    b.watch.look()
    engine = b.spark.engine
    engine.away = EngineError("no Docker engine answers at unix:///tmp/x/d")
    b.reach.there.clear()
    found = b.watch.look()
    assert found.problem is not None
    assert found.problem.words == "b is not reached: it does not answer", "what ssh says, and not the engine's client"
    assert b.there.closed == 1
    engine.away, b.reach.there["spark-b"] = None, b.there
    assert b.watch.look().problem is None


def test_a_look_that_hangs_counts_as_no_answer_and_its_connection_ends(b: Watched) -> None:
    b.watch.look()
    assert b.watch.overdue() is None
    seen: list[HostLook | None] = []

    def hangs() -> MachineFacts:
        b.mine.clock.now += HELD_S + 1
        seen.append(b.watch.overdue())
        return FACTS

    b.watch = HostWatch(b.world, ("b", DeclaredHost(ssh="spark-b")), b.told.append, lambda: False, hangs)
    b.watch.look()
    (found,) = seen
    assert found is not None
    assert found.problem is not None
    assert found.problem.words == "b did not answer within 13s"
    wait_for(lambda: b.there.closed > 0)


def test_servers_that_answer_late_one_after_another_are_no_host_that_hangs(b: Watched) -> None:
    one = next(iter(b.spark.engine.there.values()))
    for number in range(3):
        name = f"other-{number}"
        b.spark.engine.there[name] = one._replace(id=name, name=name, labels={**one.labels, LABEL_SERVICE: name})
    late: list[HostLook | None] = []

    def closed(_: str) -> bool:
        b.mine.clock.now += HELD_S / 2 - 1
        late.append(b.watch.overdue())
        return False

    b.spark.http.closed = closed
    assert len(b.watch.look().services) == 4
    assert set(late) == {None}


def test_its_memory_is_looked_at_seldom_unless_somebody_sees_the_page(b: Watched) -> None:
    def box() -> BoxView | None:
        b.watch.look()
        b.watch.look_at_box()
        return b.watch.box

    first = box()
    assert box() is first
    b.watching = True
    second = box()
    assert second is not first
    b.watching = False
    b.mine.clock.now += BOX_S
    assert box() is not second


def test_this_machine_by_another_name_is_none(tmp_path: Path) -> None:
    b = Watched(tmp_path)
    b.watch = HostWatch(
        b.world, ("b", DeclaredHost(ssh="spark-b")), b.told.append, lambda: False, lambda: b.there.facts
    )
    assert b.watch.look() == HostLook("b", machine=(FACTS.machine_id, "boot-b"), here=True)


def test_a_service_to_which_no_way_leads_says_so(b: Watched) -> None:
    b.watch.look()
    b.there.lost = EngineError("b's sshd forwards no sockets")
    (one,) = b.watch.look().services
    assert (one.seen.state, one.seen.why, one.server) == (DeskState.OFF, "b's sshd forwards no sockets", None)


def test_one_that_speaks_tls_is_its_own_hosts(b: Watched) -> None:
    (id_, one) = next(iter(b.spark.engine.there.items()))
    b.spark.engine.there[id_] = one._replace(labels={**one.labels, LABEL_URL: "https://127.0.0.1:8003"})
    (found,) = b.watch.look().services
    assert (found.seen.state, found.seen.why, found.server) == (DeskState.OFF, NO_TLS, None)


def test_a_worker_of_a_group_is_nobody_to_ask(b: Watched) -> None:
    (id_, one) = next(iter(b.spark.engine.there.items()))
    labels = {name: value for name, value in one.labels.items() if name != LABEL_URL}
    b.spark.engine.there[id_] = one._replace(labels=labels)
    assert b.watch.look().services == ()


def test_a_defect_is_said_and_ends_nothing(b: Watched) -> None:
    def broken() -> MachineFacts:
        raise ZeroDivisionError

    b.watch = HostWatch(b.world, ("b", DeclaredHost(ssh="spark-b")), b.told.append, lambda: False, broken)
    found = b.watch.look()
    assert found.problem is not None
    assert "a defect of sparkctl" in found.problem.words
    assert any("please report it" in line for line in b.report.warned)


def test_a_profile_that_is_not_known_is_a_problem_of_its_host(b: Watched) -> None:
    b.watch = HostWatch(
        b.world,
        ("b", DeclaredHost(ssh="spark-b", profile="none", reserve=1)),
        b.told.append,
        lambda: False,
        lambda: FACTS,
    )
    found = b.watch.look()
    assert found.problem is not None
    assert b.there.closed == 1


@pytest.mark.parametrize(("said", "seconds"), [(b"350735.47 234388.90\n", 350735.47), (b"x y", 0.0), (None, 0.0)])
def test_how_long_a_host_runs_is_what_its_guard_counts_by(said: bytes | None, seconds: float) -> None:
    assert uptime_s(said) == seconds
