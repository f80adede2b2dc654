"""Groups that are watched: a rank that ends ends all, they start again as one, a host that is away is waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.groups.kept import KeptGroup, keep, kept
from sparkctl.operations.groups.shown import elsewhere
from sparkctl.operations.groups.watch import LOOK_S, GroupWatch
from sparkctl.planning.box.declared import Restarts
from tests.support.two_sparks import AtOnce, TwoSparks, two_sparks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def two(tmp_path: Path) -> TwoSparks:
    found = two_sparks(tmp_path)
    found.up()
    return found


@pytest.fixture
def watch(two: TwoSparks) -> Callable[[float], GroupWatch]:
    """Return what lets the watch look for so many seconds."""
    watching = GroupWatch(two.world, lambda: 0.0, work=AtOnce)

    def looks(seconds: float) -> GroupWatch:
        end = two.a.clock.now + seconds
        while two.a.clock.now <= end:
            watching.tick()
            two.a.clock.sleep(0.5)
        return watching

    return looks


def dies(two: TwoSparks, host: str) -> None:
    engine = {"a": two.a, "b": two.b}[host].engine
    one = engine.container("pair")
    assert one is not None
    engine.there[one.id] = one._replace(state="exited", exit_code=1)


@pytest.mark.parametrize("host", ["a", "b"])
def test_a_rank_that_ends_ends_all_and_they_start_again_as_one_h14(
    two: TwoSparks, watch: Callable[[float], GroupWatch], host: str
) -> None:
    watch(LOOK_S)
    dies(two, host)
    before = two.a.clock.now
    watch(LOOK_S)
    assert two.containers == {"a": "exited", "b": "exited"}
    assert two.a.clock.now - before < 10
    two.a.engine.calls.clear()
    watch(12.0)
    assert two.containers == {"a": "running", "b": "running"}
    assert two.a.engine.calls == ["start pair"]


def test_a_host_that_is_away_is_no_rank_that_ended_h15(two: TwoSparks, watch: Callable[[float], GroupWatch]) -> None:
    away = two.reach.there.pop("spark-b")
    found = watch(60.0)
    assert two.containers == {"a": "running", "b": "running"}
    assert "waits for a host that does not answer" in found.words["pair"]
    two.reach.there["spark-b"] = away
    assert watch(LOOK_S).words["pair"] == "whole"


def test_one_that_fails_again_and_again_is_given_up_and_leaves_nothing(
    two: TwoSparks, watch: Callable[[float], GroupWatch]
) -> None:
    two.b.engine.on_start["pair"] = lambda one: one._replace(state="exited", exit_code=1)
    dies(two, "b")
    watch(200.0)
    assert two.containers == {}
    (line,) = elsewhere(two.world)
    assert line.startswith("pair does not run on a, b: given up: 3 starts within 30m 00s ended before it was ready")
    watch(600.0)
    assert two.containers == {}
    two.b.engine.on_start.clear()
    two.up()
    assert kept(two.world)["pair"].held == ""
    assert watch(LOOK_S).words["pair"] == "whole"


def test_the_bounds_of_its_stack_are_kept_with_it(two: TwoSparks, watch: Callable[[float], GroupWatch]) -> None:
    group = KeptGroup("pair", ("a", "b"), ready=True, restarts=Restarts(100.0, 100.0, 1, 1000.0))
    keep(two.world, group)
    assert kept(two.world) == {"pair": group}
    dies(two, "b")
    assert "is started again in 1m" in watch(20.0).words["pair"]


def test_what_a_command_works_on_is_left_alone(two: TwoSparks, watch: Callable[[float], GroupWatch]) -> None:
    two.b.locks.working.add("pair")
    dies(two, "b")
    watch(30.0)
    assert two.containers == {"a": "running", "b": "exited"}
