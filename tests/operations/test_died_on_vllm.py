"""The real vLLM that all tests read, at its end: its engine is killed, and its drafts are too few for what is asked.

These are the last tests of it: what they end is started anew for whoever still wants it.
"""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import wait_for

if TYPE_CHECKING:
    from tests.support.vllm_machine import Machine, Served, Shared

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]

FLOOR = "ready: {acceptance: {overall: 1.0}}"


def test_an_engine_that_is_killed_is_not_ready_is_started_anew_and_refused_for_its_drafts(
    machine: Machine, served: Served, shared: Shared
) -> None:
    name = served.name
    patched = machine.folder / "mods/version/version.py"
    text = patched.read_text()
    patched.write_text("__version__ = 'lost'\n")
    lost = machine.run("verify-mods", name).expect(6)
    assert "version.py" in lost.out + lost.err
    patched.write_text(text)

    shared.ended()
    there = ("ps", "--all", "--quiet", "--no-trunc", "--filter", f"name={name}")
    before = machine.docker(*there)
    os.kill(machine.engine_core(name), signal.SIGKILL)
    state = ("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name)
    wait_for(lambda: machine.docker(*state).startswith("exited"))
    assert machine.docker(*state).split() == ["exited", "0"]
    (row,) = [row for row in machine.run("ps", "--json").expect(0).json if row["name"] == name]
    assert (row["state"], row["ready"]) == ("exited", False)

    recipe = machine.folder / "recipes" / f"{name}.yaml"
    recipe.write_text(recipe.read_text().replace("ready: {warm: 0.5}", FLOOR))
    refused = machine.run("up", name).expect(5).err
    assert f"{name}: the one that was here: the container exited with code 0" in refused
    assert f"{name}: loading weights" in refused
    told = re.search(r"drafts are accepted \d+ % \d+ % \d+ % \((\d+) drafted tokens\): \d+\.\d % overall", refused)
    assert told is not None, refused
    assert int(told[1]) >= 200
    assert machine.docker(*there) == before, "what failed is gone, and the dead one is there to be looked at"
