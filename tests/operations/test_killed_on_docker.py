"""kill -9 in the midst of a command on a real Docker Engine: the next command puts it right.

The services have a mod, so that images are looked into by throwaway containers; each change of the SDK counts. A kill
takes some seconds of a machine: a run tries every sixth of them, and two of a command at most, of some commands always
and of a share of the others; with SPARKCTL_TEST_KILLS=all, each. Those that put a stack into effect are killed on the
newer engine: one at a time may do so, and on the first one the gateway before the real vLLM does.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.support.command_line import free_port
from tests.support.docker_spark import HOST, RECIPE
from tests.support.engine_fixtures import FIRST, NEW, STANDIN
from tests.support.killed import KillableMachine
from tests.support.killing import (
    ANOTHER,
    BAKE,
    CODE,
    EACH_KILL,
    OF_STACKS,
    SCENARIOS,
    Scenario,
    Subject,
    kill_after_each_change,
    with_stacks,
)
from tests.support.thorough import part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sparkctl.world.docker.engine import DockerEngine

pytestmark = pytest.mark.docker

AT_ONCE = 1
"""A vLLM of other tests starts on the same engine, and what starts claims 6 GiB by its estimate, a stand-in too."""
EVERY = 1 if EACH_KILL else 6
MOST = None if EACH_KILL else 2
SOURCE = "FIXED = True\n"
MD5 = hashlib.md5(SOURCE.encode(), usedforsecurity=False).hexdigest()
MOD = f"files:\n  - module: vllm.model_executor.models.gemma4_mtp\n    source: fix.py\n    md5: {MD5}\n"
SCRIPT = "#!/bin/bash\necho '# more' >> /usr/local/lib/python3.12/dist-packages/vllm/model_executor/models/gemma4.py\n"


@pytest.fixture
def make(
    tmp_path: Path, docker_host: str, docker_engine: DockerEngine, tiny_model: Path
) -> Iterator[Callable[[str], Subject]]:
    made: list[Subject] = []

    def subject(name: str) -> Subject:
        home = tmp_path / name
        machine = KillableMachine(home, home / "folder", home, docker_host, "test")
        prefix = f"k{time.monotonic_ns() % 10**10}"
        names = {"A": f"{prefix}-a", "B": f"{prefix}-b", "FOLDER": str(home / "community" / "more"), "IMAGE": STANDIN}
        files = {"recipes/hosts/test.yaml": HOST, "mods/fix/fix.py": SOURCE, "mods/fix/mod.yaml": MOD}
        for letter in "AB":
            text = RECIPE.format(model=tiny_model, port=free_port(), faults="load_s=0.2")
            files[f"recipes/{names[letter]}.yaml"] = f"{text}mods: [fix]\n"
        for path, text in files.items():
            (machine.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (machine.folder / path).write_text(text)
        script = home / "community" / "more" / "run.sh"
        script.parent.mkdir(parents=True)
        script.write_text(SCRIPT)
        script.chmod(0o755)
        names = with_stacks(machine, names, f"{prefix}-")
        made.append(Subject(machine, docker_engine, names, prefix))
        return made[-1]

    yield subject
    for one in made:
        one.clear()


ALL = {
    **SCENARIOS,
    "mods bake": Scenario(BAKE, then=BAKE, up=""),
    "mods bake, then down": Scenario(BAKE, then=ANOTHER, up=""),
    "check --run-code": Scenario(CODE),
}
OF_A_STACK = [name for name in ALL if name in OF_STACKS or name.startswith("agent")]
OTHERS = [name for name in ALL if name not in OF_A_STACK]
CHANGES = {
    "up": 15,
    "up of two": 17,
    "up --replace": 10,
    "up --replace, then another command": 10,
    "up --replace, then down": 10,
    "bench --sweep": 20,
    "down": 2,
    "bench --sweep of what did not run, then down": 24,
    "restart": 2,
    "restart, then down": 2,
    "attach": 48,
    "mods bake": 11,
    "mods bake, then down": 11,
    "check --run-code": 3,
    "apply": 24,
    "apply --prune of another": 26,
    "apply that fails": 21,
    "rollback": 26,
    "agent": 35,
    "agent, then a command": 35,
}
"""How many changes each makes, as SPARKCTL_TEST_KILLS=all counted them: to count takes as long as a kill.

Beyond its last change a command is not killed, and the test says so.
"""
ALWAYS = ("up --replace", "apply")
"""What replaces a container that works; of the rest CI tries another eighth with each commit."""


def some_of(names: list[str]) -> Sequence[str]:
    return names if EACH_KILL else part(names, *(place for place, name in enumerate(names) if name in ALWAYS))


Recorder: TypeAlias = "Callable[[str, object], None]"


@FIRST
@pytest.mark.timeout(3000 if EACH_KILL else 600)
@pytest.mark.parametrize("name", some_of(OTHERS))
def test_after_a_kill_at_any_moment_the_next_command_puts_it_right(
    name: str, make: Callable[[str], Subject], record_property: Recorder
) -> None:
    is_put_right(name, make, record_property)


@NEW
@pytest.mark.timeout(3000 if EACH_KILL else 600)
@pytest.mark.parametrize("name", some_of(OF_A_STACK))
def test_after_a_kill_on_a_newer_engine_the_next_command_puts_it_right(
    name: str, make: Callable[[str], Subject], record_property: Recorder
) -> None:
    is_put_right(name, make, record_property)


def is_put_right(name: str, make: Callable[[str], Subject], record_property: Recorder) -> None:
    scenario = ALL[name]
    known = make("whole").changes(scenario) if EACH_KILL else CHANGES[name]
    record_property("changes", known)
    count, wrong = kill_after_each_change(scenario, make, AT_ONCE, EVERY, MOST, known)
    record_property("kills", f"{count - len(wrong)} of {count}")
    assert wrong == []
    assert count >= 1
