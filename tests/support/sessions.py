"""Terminal sessions of the docs, replayed: each ``$ command`` prints what stands below it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HOME = "/home/ada"
"""Where the operator of the docs is at home, and works."""
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?")
_AND_SO_ON = "…"
"""A line of a session in whose place any number of lines may stand."""


class Step(NamedTuple):
    """A command, and what it prints on both channels."""

    command: str
    printed: list[str]


def sessions(page: Path) -> list[list[Step]]:
    """Return the sessions of a page, each with its commands in order."""
    return [_steps(block) for block in _BLOCK.findall(page.read_text())]


def _steps(block: str) -> list[Step]:
    steps: list[Step] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            steps.append(Step(line.removeprefix("$ "), []))
        else:
            steps[-1].printed.append(line)
    return steps


def replay(steps: list[Step], home: Path, environ: Mapping[str, str]) -> None:
    """Run the commands of a session one after another, and hold what they print to what the page says."""
    for step in steps:
        done = subprocess.run(
            ["sh", "-c", f"{{ {step.command}; }} 2>&1"],
            env={**environ, "HOME": str(home), "USER": "ada"},
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
        printed = done.stdout.replace(str(home), HOME)
        assert matches(step.printed, printed.splitlines()), f"$ {step.command}\n{printed}"


def matches(expected: list[str], printed: list[str]) -> bool:
    """Return whether lines are those of a page; of times any is one, and so are lines in the place of ``…``."""
    pattern = "".join("(?:.*\n)*?" if line == _AND_SO_ON else f"{_pattern(line)}\n" for line in expected)
    return re.fullmatch(pattern, "".join(f"{line.rstrip()}\n" for line in printed)) is not None


def _pattern(line: str) -> str:
    pieces = [re.escape(piece) for piece in _TIME.sub("\0", line.rstrip()).split("\0")]
    return _TIME.pattern.replace("(:", "(?::").join(pieces)


def end_agent(home: Path) -> None:
    """End the agent that a session began, if it did."""
    state = home / ".local/state/sparkctl/run/agent/simulated.json"
    if state.exists():
        with suppress(ProcessLookupError):
            os.kill(int(json.loads(state.read_bytes())["process"].split("~")[3]), signal.SIGTERM)
