"""kill -9, -15 and -1 after each change of what changes services, on the simulator: the next command puts it right.

A run that tries a part kills three of the commands after every sixth change, and `.ci/run` a share of the others, too.
One that tries all kills each after every fourth, and with SPARKCTL_TEST_KILLS=all after each.
The same on a real Docker Engine: tests/operations/test_killed_on_docker.py.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeGuard

import pytest

from sparkctl.world.sim.engine import SimEngine
from tests.support.command_line import free_port
from tests.support.killed import KillableMachine
from tests.support.killing import (
    EACH_KILL,
    OF_STACKS,
    REPLACE,
    SCENARIOS,
    SWEEP,
    Scenario,
    Subject,
    kill_after_each_change,
    moments,
    with_stacks,
)
from tests.support.thorough import THOROUGH, only_thorough, part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ALL = THOROUGH or EACH_KILL
EVERY = 1 if EACH_KILL else 4 if THOROUGH else 6
A_PART = ("bench --sweep", "restart, then down", "apply that fails")
"""A start on trial, which sets another aside, one that is stopped, and a stack half changed: what is left differs."""
TRIED = tuple(SCENARIOS) if ALL else part([*SCENARIOS], *map([*SCENARIOS].index, A_PART))
SCENARIOS_AT_ONCE = 2
RECIPE = "extends: e4b-nvfp4\ndescription: of this test\nserve: {{name: m, port: {port}}}\nlimits: {{context: 1024}}\n"


def makes(folder: Path, made: list[Subject]) -> Callable[[str], Subject]:
    def subject(name: str) -> Subject:
        machine = KillableMachine(folder / name, folder / name / "folder", folder / name / "sim", None, "gb10")
        recipes = machine.folder / "recipes"
        recipes.mkdir(parents=True)
        for recipe in ("one", "two"):
            (recipes / f"{recipe}.yaml").write_text(RECIPE.format(port=free_port()))
        made.append(Subject(machine, SimEngine(machine.sim, {}), with_stacks(machine, {"A": "one", "B": "two"}), ""))
        return made[-1]

    return subject


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[str], Subject]]:
    made: list[Subject] = []
    yield makes(tmp_path, made)
    for one in made:
        one.clear()


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[tuple[int, list[str]]]]]:
    """Try the scenarios that are asked for, some at once: a command waits more than it computes."""
    names = [item.callspec.params["name"] for item in request.session.items if is_of_a_scenario(item)]
    made: list[Subject] = []
    with ThreadPoolExecutor(SCENARIOS_AT_ONCE) as pool:
        yield {name: pool.submit(tried, name, makes(tmp_path_factory.mktemp("killed"), made)) for name in names}
    for one in made:
        one.clear()


def is_of_a_scenario(item: pytest.Item) -> TypeGuard[pytest.Function]:
    test = test_after_a_kill_at_any_moment_the_next_command_puts_it_right
    return isinstance(item, pytest.Function) and item.function is test


def tried(name: str, make: Callable[[str], Subject]) -> tuple[int, list[str]]:
    return kill_after_each_change(SCENARIOS[name], make, every=steps(SCENARIOS[name]))


def steps(scenario: Scenario) -> int:
    """Return after every how many of its changes a command is killed."""
    if not ALL and scenario in OF_STACKS.values():
        return EVERY * 8  # several services, each with changes of its own
    return EVERY * (4 if scenario.calls else 1)  # one that changes nothing has many calls


@pytest.mark.timeout(3000 if EACH_KILL else 600)  # some dozens of processes, one after another
@pytest.mark.parametrize("name", TRIED)
def test_after_a_kill_at_any_moment_the_next_command_puts_it_right(
    name: str, outcomes: dict[str, Future[tuple[int, list[str]]]], record_property: Callable[[str, object], None]
) -> None:
    count, wrong = outcomes[name].result()
    record_property("kills", f"{count - len(wrong)} of {count}")
    assert wrong == []
    assert count >= (2 if EVERY == 1 else 1)


def test_scenarios_of_one_command_kill_it_in_different_moments() -> None:
    assert [[last for last, _ in moments(7, 3, place)] for place in range(3)] == [[1, 4, 7], [2, 5], [3, 6]]
    assert [last for last, _ in moments(2, 3, 2)] == [2], "a command of fewer changes is killed after its last"
    assert [last for last, _ in moments(4, 1, 2)] == [1, 2, 3, 4]


@only_thorough
def test_a_killed_sweep_a_replacement_and_a_sweep_again(make: Callable[[str], Subject]) -> None:
    subject = make("one")
    subject.machine.run("up", "one").expect(0)
    subject.killed(5, SWEEP)
    said = subject.machine.run(*subject.words(REPLACE)).expect(0).err
    assert "one: a killed command had stopped it and set it aside: started it again" in said
    assert len(subject.machine.run(*subject.words(SWEEP)).expect(0).out.splitlines()) == 3
    (now,) = subject.containers().values()
    assert (now.name, now.state) == ("one", "running")
    assert now.command[now.command.index("--max-model-len") + 1] == "512"
