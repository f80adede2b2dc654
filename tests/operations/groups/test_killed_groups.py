"""Commands on a group that are killed at each of their calls that change an engine, on either host."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.groups import by_name
from sparkctl.operations.groups.kept import KeptGroup
from sparkctl.operations.groups.watch import GroupWatch
from tests.support.dying import KilledError
from tests.support.two_sparks import AtOnce, KilledEngine, ProcessLife, TwoSparks, two_sparks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GROUP = KeptGroup("pair", ("a", "b"))
BEGINNING = [(host, call) for host in ("a", "b") for call in ("create", "start")]
ENDING = [(host, call) for host in ("a", "b") for call in ("stop", "remove")]
AGAIN = [(host, call) for host in ("a", "b") for call in ("stop", "start")]


@pytest.fixture
def two(tmp_path: Path) -> TwoSparks:
    return two_sparks(tmp_path)


@contextmanager
def killed(two: TwoSparks, host: str, call: str, *, after: bool) -> Iterator[None]:
    """Kill what works on the two at a call to the engine of one; afterwards both are there again."""
    life, sparks = ProcessLife(), {"a": two.a, "b": two.b}
    engines = {name: spark.engine for name, spark in sparks.items()}
    for name, spark in sparks.items():
        spark.engine = KilledEngine(spark.engine, life, call if name == host else "", after=after)  # type: ignore[assignment]
    try:
        with pytest.raises(KilledError):
            yield
    finally:
        for name, spark in sparks.items():
            spark.engine = engines[name]


def down(two: TwoSparks) -> None:
    for group in by_name.parted(two.world, ["pair"]).groups.values():
        by_name.down(two.world, group)


@pytest.mark.a_part(4)
@pytest.mark.parametrize(("host", "call"), BEGINNING)
@pytest.mark.parametrize("after", [False, True])
def test_up_leaves_nothing_after_the_next_command_h17(two: TwoSparks, host: str, call: str, after: bool) -> None:
    with killed(two, host, call, after=after):
        two.up()
    assert two.containers or (host, call, after) == ("b", "create", False)
    down(two)
    assert two.containers == {}
    two.up()
    assert two.containers == {"a": "running", "b": "running"}


@pytest.mark.a_part(3)
@pytest.mark.parametrize(("host", "call"), [*BEGINNING, *ENDING])
@pytest.mark.parametrize("after", [False, True])
def test_up_with_replace_is_finished_by_the_same_command_h17(two: TwoSparks, host: str, call: str, after: bool) -> None:
    two.up()
    with killed(two, host, call, after=after):
        two.up(overrides=("limits.context=4096",), replace=True)
    two.up(overrides=("limits.context=4096",), replace=True)
    assert two.containers == {"a": "running", "b": "running"}
    for spark in (two.a, two.b):
        assert "4096" in spark.engine.specs["pair"].command


@pytest.mark.a_part(2)
@pytest.mark.parametrize(("host", "call"), AGAIN)
@pytest.mark.parametrize("after", [False, True])
def test_restart_leaves_what_the_next_up_makes_whole_h17(two: TwoSparks, host: str, call: str, after: bool) -> None:
    two.up()
    with killed(two, host, call, after=after):
        by_name.restart(two.world, GROUP)
    two.up()
    assert two.containers == {"a": "running", "b": "running"}


@pytest.mark.a_part(2)
@pytest.mark.parametrize(("host", "call"), ENDING)
@pytest.mark.parametrize("after", [False, True])
def test_down_is_finished_by_the_same_command_h17(two: TwoSparks, host: str, call: str, after: bool) -> None:
    two.up()
    with killed(two, host, call, after=after):
        down(two)
    down(two)
    assert two.containers == {}


@pytest.mark.a_part(3)
@pytest.mark.parametrize(("host", "call"), [("a", "stop"), ("a", "start"), ("b", "start")])
@pytest.mark.parametrize("after", [False, True])
def test_an_agent_that_is_killed_is_followed_by_one_that_finishes_h17(
    two: TwoSparks, host: str, call: str, after: bool
) -> None:
    two.up()
    worker = two.b.engine.container("pair")
    assert worker is not None
    two.b.engine.there[worker.id] = worker._replace(state="exited", exit_code=1)
    with killed(two, host, call, after=after):
        watched(two, 60.0)
    watched(two, 60.0)
    assert two.containers == {"a": "running", "b": "running"}


def watched(two: TwoSparks, seconds: float) -> None:
    """Let an agent's new life look after the group for so many seconds."""
    watching = GroupWatch(two.world, lambda: 0.0, work=AtOnce)
    end = two.a.clock.now + seconds
    while two.a.clock.now < end:
        watching.tick()
        two.a.clock.sleep(0.5)
