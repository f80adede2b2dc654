"""Other people's tools that judge what is exported to them: each is run once over all exports."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from tests.support.engine_fixtures import not_here

if TYPE_CHECKING:
    from collections.abc import Mapping

HOW = "run tests/testbed/testbed tools, then `eval` what tests/testbed/testbed env prints"


def tool(variable: str) -> str:
    """Return the program that a variable names; without it the test is skipped, or fails where it is required."""
    found = os.environ.get(variable, "")
    if not found:
        not_here("tools", f"{variable} names no program; {HOW}")
    return found


def done(*words: str, environ: Mapping[str, str] | None = None, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end and return what it printed."""
    ran = subprocess.run(words, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == code, f"{' '.join(words)}: {ran.returncode}\n{ran.stdout}{ran.stderr}"
    return ran
