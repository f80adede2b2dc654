"""kill -9, -15 and -1 after each change of what changes services, on the simulator: the next command puts it right.

The same on a real Docker Engine: tests/operations/test_killed_on_docker.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.world.sim.engine import SimEngine
from tests.support.command_line import free_port
from tests.support.killed import Machine
from tests.support.killing import EACH_KILL, REPLACE, SCENARIOS, SWEEP, Subject, kill_after_each_change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RECIPE = "extends: e4b-nvfp4\ndescription: of this test\nserve: {{name: m, port: {port}}}\nlimits: {{context: 1024}}\n"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[str], Subject]]:
    made: list[Subject] = []

    def subject(name: str) -> Subject:
        machine = Machine(tmp_path / name, tmp_path / name / "folder", tmp_path / name / "sim", None, "gb10")
        recipes = machine.folder / "recipes"
        recipes.mkdir(parents=True)
        for recipe in ("one", "two"):
            (recipes / f"{recipe}.yaml").write_text(RECIPE.format(port=free_port()))
        made.append(Subject(machine, SimEngine(machine.sim, {}), {"A": "one", "B": "two"}, ""))
        return made[-1]

    yield subject
    for one in made:
        one.clear()


@pytest.mark.timeout(3000 if EACH_KILL else 600)  # some dozens of processes, one after another
@pytest.mark.parametrize("name", SCENARIOS)
def test_after_a_kill_at_any_moment_the_next_command_puts_it_right(
    name: str, make: Callable[[str], Subject], record_property: Callable[[str, object], None]
) -> None:
    every = 4 if SCENARIOS[name].calls and not EACH_KILL else 1  # a command that changes nothing
    count, wrong = kill_after_each_change(SCENARIOS[name], make, every=every)
    record_property("kills", f"{count - len(wrong)} of {count}")
    assert wrong == []
    assert count >= 2


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
