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
from sparkctl.cli import run
code = run(sys.argv[1:], None)
print(json.dumps([code, sorted(sys.modules)]))
"""
SERVERS = {
    "docker",
    "h11",
    "httpx",
    "huggingface_hub",
    "jsonschema",
    "prometheus_client",
    "rich",
    "sparkctl.operations.start",
}
RECIPES = {"jinja2", "sparkctl.mods", "sparkctl.planning", "sparkctl.recipes.service", "sparkctl.world.docker_run"}
LIBRARIES = {"jinja2", "packaging", "pydantic", "yaml"}


@pytest.mark.parametrize(
    ("command", "heavy"),
    [
        (["--help"], SERVERS | RECIPES | LIBRARIES),
        (["plan", "e4b-nvfp4", "26b-a4b-fp8"], SERVERS | {"http.server", "sparkctl.operations.bench"}),
        (["size", str(FIXTURES / "configs" / "gemma4-e4b-mm"), "--json"], SERVERS | RECIPES),
    ],
    ids=["--help", "plan", "size"],
)
def test_a_command_imports_nothing_heavy_that_it_does_not_need(
    tmp_path: Path, command: list[str], heavy: set[str]
) -> None:
    own = {"HOME": str(tmp_path), "SPARKCTL_ENGINE": "sim", "SPARKCTL_SIM_DIR": str(tmp_path / "sim")}
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command], env=os.environ | own, check=True, capture_output=True, text=True
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    assert heavy.isdisjoint(modules), sorted(heavy.intersection(modules))


def test_the_process_of_a_simulated_container_needs_python_alone() -> None:
    program = "import sys, sparkctl.world.sim.process; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    assert (LIBRARIES | SERVERS).isdisjoint(done.stdout.split())
