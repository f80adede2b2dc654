"""Every command of the README and of the demo does what is said of it, on the simulated Spark."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.pictures import PICTURES
from tests.support.command_server import in_scripts
from tests.support.fake_hub import hub
from tests.support.paths import REPOSITORY
from tests.support.sessions import end_agent
from tests.support.thorough import only_thorough
from tests.support.weights import EMPTY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

ROOT = REPOSITORY
ELSEWHERE = {
    "make demo": "test_the_demo_does_the_main_job below, of `make thorough`",
    "make test": "is what runs this",
    "pipx install .": "tests/project/test_wheel.py installs the built wheel",
}
REFUSED = {PICTURES["plan-refused.svg"]: 3}
"""Commands that are refused, as the text beside them says, and their exit codes."""
MODEL = {"config.json": b"{}", "model.safetensors": EMPTY}


def commands() -> list[str]:
    """Return the README's commands: the lines that are indented by four."""
    return re.findall(r"^    (\S.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)


@pytest.fixture
def environ(tmp_path: Path, shipped_ports: None) -> Iterator[dict[str, str]]:  # noqa: ARG001  (held)
    with hub({"coolthor/Gemma-4-E4B-it-NVFP4A16": MODEL}) as address:
        own = {"HOME": str(tmp_path), "SPARKCTL_ENGINE": "sim", "SPARKCTL_SIM_DIR": str(tmp_path / "sim")}
        own |= in_scripts(tmp_path / "bin")
        yield {"HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1", **own}
        end_agent(tmp_path)
        subprocess.run([tmp_path / "bin" / "sparkctl", "down", "--all"], env=own, check=True, capture_output=True)


def test_every_command_of_the_readme_works_in_its_order(environ: dict[str, str], tmp_path: Path) -> None:
    ran = 0
    for command in commands():
        if command in ELSEWHERE:
            continue
        done = subprocess.run(
            ["sh", "-c", command], env=environ, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == REFUSED.get(command, 0), f"$ {command}\n{done.stdout}{done.stderr}"
        ran += 1
    assert ran >= 10


@only_thorough
def test_the_demo_does_the_main_job(environ: dict[str, str]) -> None:
    done = subprocess.run(["sh", "scripts/demo.sh"], env=environ, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "simulated │ 26b-a4b-fp8: ready at http://127.0.0.1:8001" in done.stderr
    assert "(exit code 3)" in done.stdout
    assert "(exit code 6)" in done.stdout
    assert "simulated │ qwen3-8b: ready at http://127.0.0.1:8113" in done.stderr
    assert "was predicted" not in done.stderr
    told = [line for line in (done.stdout + done.stderr).splitlines() if line and not line.startswith(("$ ", "(exit"))]
    assert all(line.startswith("simulated │") for line in told)


@only_thorough
@pytest.mark.usefixtures("shipped_ports")
def test_the_pictures_are_what_the_terminal_shows(tmp_path: Path) -> None:
    own = os.environ | in_scripts(tmp_path / "bin") | {"SPARKCTL": str(tmp_path / "bin" / "sparkctl")}
    drawing = [sys.executable, "scripts/pictures.py", "--check"]
    done = subprocess.run(drawing, cwd=ROOT, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", ["README.md", "docs/operating.md"])
def test_a_picture_shows_what_the_command_above_it_prints(page: str) -> None:
    above, shown = "", 0
    for line in (ROOT / page).read_text().splitlines():
        if line.startswith("    sparkctl"):
            above = line.strip()
        picture = re.search(r"pictures/([\w-]+\.svg)", line)
        if picture:
            assert PICTURES[picture[1]] == above
            shown += 1
    assert shown


def test_every_file_that_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text())
    assert [link for link in links if "://" not in link and not (ROOT / link).is_file()] == []
