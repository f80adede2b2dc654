"""A command imports what it needs: no time is measured here, but what costs most of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.paths import FIXTURES, REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

RUN = """
import json, sys
from sparkctl.cli import process, run
process.prepare()
code = run(sys.argv[1:], None)
ours = [module for name, module in sys.modules.items() if name.startswith("sparkctl.")]
values = [value for module in ours for value in vars(module).values() if isinstance(value, type)]
made = {value for value in values if "__dataclass_fields__" in vars(value) and value.__module__.startswith("sparkctl.")}
print(json.dumps([code, sorted(sys.modules), len(made)]))
"""
SERVERS = {
    "aiohttp",
    "docker",
    "h11",
    "httpx",
    "huggingface_hub",
    "jsonschema",
    "prometheus_client",
    "rich",
    "sparkctl.operations.start",
}
RECIPES = {
    "jinja2",
    "sparkctl.mods",
    "sparkctl.planning.admission",
    "sparkctl.recipes.service",
    "sparkctl.world.docker_run",
}
OF_A_COMMAND = {
    "jinja2",
    "sparkctl.recipes.command",
    "sparkctl.recipes.sandbox",
    "sparkctl.world.docker_run",
    "sparkctl.world.spec",
}
"""What makes the words of a command: a plan beside nothing that runs compares none."""
UNASKED = {
    "http.server",
    "packaging.specifiers",
    "sparkctl.mods.manifest",
    "sparkctl.operations.bench",
    "sparkctl.planning.calibration",
    "sparkctl.vllm.answers",
    "sqlite3",
}
"""A plan of recipes without mods, where nothing runs and nothing was measured, asks none of these."""
NOBODYS = {"packaging.tags", "sparkctl.recipes.stack"}
"""What would look for names of wheels, or for a stack where a recipe is named."""
OF_SEVERAL = {"sparkctl.operations.hosts.listed", "sparkctl.planning.placement", "sparkctl.recipes.hosts.declared"}
"""What plans over several hosts."""
LIBRARIES = {"jinja2", "packaging", "pydantic", "yaml"}

SIZE = ["size", str(FIXTURES / "configs" / "gemma4-e4b-mm"), "--json"]
DATACLASSES = 16
"""Classes that a command may make by ``dataclass``, each of which takes half a millisecond."""


@pytest.mark.a_part(2)
@pytest.mark.parametrize(
    ("command", "heavy"),
    [
        (["--help"], SERVERS | RECIPES | LIBRARIES),
        (["plan", "e4b-nvfp4", "26b-a4b-fp8"], SERVERS | OF_A_COMMAND | UNASKED | NOBODYS | OF_SEVERAL),
        (SIZE, SERVERS | RECIPES | UNASKED | {"sparkctl.world.labels", "sparkctl.world.sim.engine"}),
        (["--engine", "docker", *SIZE], SERVERS | RECIPES | UNASKED | {"sparkctl.world.labels"}),
    ],
    ids=["--help", "plan", "size", "size on a real host"],
)
def test_a_command_imports_nothing_heavy_that_it_does_not_need(
    tmp_path: Path, command: list[str], heavy: set[str]
) -> None:
    own = {"HOME": str(tmp_path), "SPARKCTL_ENGINE": "sim", "SPARKCTL_SIM_DIR": str(tmp_path / "sim")}
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command], env=os.environ | own, check=True, capture_output=True, text=True
    )
    code, modules, dataclasses = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    assert heavy.isdisjoint(modules), sorted(heavy.intersection(modules))
    assert dataclasses <= DATACLASSES, "Python takes four times as long to make one as a NamedTuple of the same fields"


STARTS = {"sparkctl.operations.changes", "sparkctl.operations.stack.effect", "sparkctl.planning.admission"}
"""What starts services, or plans that."""


@pytest.mark.a_part(1)
@pytest.mark.parametrize(
    ("command", "expected", "heavy"),
    [
        (["agent", "status"], 9, SERVERS | STARTS | {"jinja2", "sparkctl.mods", "sparkctl.recipes.service"}),
        (["history"], 0, SERVERS | STARTS | {"jinja2", "sparkctl.mods", "sparkctl.recipes.service"}),
        (["diff"], 2, SERVERS | STARTS | {"jinja2", "sparkctl.recipes.service"}),
        (["ps"], 0, SERVERS - {"sparkctl.operations.start"} | {"jinja2", "sparkctl.operations.services.starts"}),
        (["guard", "status"], 9, SERVERS | STARTS | RECIPES | {"sqlite3", "sparkctl.operations.agent"}),
        (
            ["explain", "26b-a4b-fp8-mtp"],
            0,
            SERVERS | NOBODYS | OF_SEVERAL | {"sparkctl.operations.changes", "sqlite3"},
        ),
        (["agent", "--help"], 0, SERVERS | STARTS | RECIPES | {"sqlite3", "sparkctl.operations.agent"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_only_looks_at_a_box_imports_nothing_that_starts_or_plans(
    tmp_path: Path, command: list[str], expected: int, heavy: set[str]
) -> None:
    own = {"HOME": str(tmp_path), "SPARKCTL_ENGINE": "sim", "SPARKCTL_SIM_DIR": str(tmp_path / "sim")}
    own["SPARKCTL_RUN_FOLDER"] = str(tmp_path / "run")
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command], env=os.environ | own, check=True, capture_output=True, text=True
    )
    code, modules, *_ = json.loads(done.stdout.splitlines()[-1])
    assert code == expected, done.stderr
    assert heavy.isdisjoint(modules), sorted(heavy.intersection(modules))


LEAVES = """
import atexit, sys
class Held:
    def __del__(self): print("taken apart")
held = Held()
from sparkctl.cli import main
atexit.register(print, "registered before")
sys.argv[1:] = ["--version"]
try:
    main(ARGUMENTS)
finally:
    atexit.register(print, "registered after")
"""


@pytest.mark.parametrize(("given", "taken_apart"), [("None", False), ("['--version']", True)], ids=["own", "another's"])
def test_a_process_of_its_own_ends_without_taking_all_apart(given: str, *, taken_apart: bool) -> None:
    """That took a fifth of a command of 90,000 objects, after all was said."""
    program = LEAVES.replace("ARGUMENTS", given)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    version, *rest = done.stdout.splitlines()
    assert version.startswith("sparkctl ")
    assert rest[0] == "registered after"
    assert ("taken apart" in rest) is taken_apart


def test_the_process_of_a_simulated_container_needs_python_alone() -> None:
    program = "import sys, sparkctl.world.sim.process; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    assert (LIBRARIES | SERVERS).isdisjoint(done.stdout.split())
