"""The terminal sessions of the docs are what the commands print, on the simulated Spark."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.command_server import in_scripts
from tests.support.paths import REPOSITORY
from tests.support.sessions import end_agent, matches, replay, sessions
from tests.support.thorough import only_thorough

if TYPE_CHECKING:
    from pathlib import Path

PAGES = [REPOSITORY / "docs" / f"{name}.md" for name in ("stacks", "agent", "explain")]
EVERY = [(page.name, number) for page in PAGES for number in range(len(sessions(page)))]


@only_thorough
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("shipped_ports")
@pytest.mark.parametrize(("page", "number"), EVERY)
def test_a_session_prints_what_the_page_says(page: str, number: int, tmp_path: Path) -> None:
    own = {"SPARKCTL_ENGINE": "sim", "SPARKCTL_SIM_DIR": str(tmp_path / "sim"), **in_scripts(tmp_path / "bin")}
    (tmp_path / "home").mkdir()
    try:
        replay(sessions(REPOSITORY / "docs" / page)[number], tmp_path / "home", own)
    finally:
        end_agent(tmp_path / "home")
        down = [tmp_path / "bin" / "sparkctl", "down", "--all"]
        subprocess.run(down, env={**own, "HOME": str(tmp_path / "home")}, check=False, capture_output=True)


def test_a_line_that_is_not_printed_is_found() -> None:
    assert matches(["a", "…", "at 2026-11-30 14:02:11, b"], ["a", "x", "y", "at 1999-01-01 00:00:00, b"])
    assert matches(["a", "…", "b"], ["a", "b"])
    assert not matches(["a", "b"], ["a"])
    assert not matches(["a"], ["a", "b"])
    assert not matches(["a (1)"], ["a 1"])
    assert EVERY
