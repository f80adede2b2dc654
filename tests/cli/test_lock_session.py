"""The terminal session of docs/stacks.md about a lock, replayed on the simulated Spark."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from tests.support.command_line import Operator
from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

STACK = 'services: {executor: {recipe: e4b-nvfp4, set: {image: "vllm/vllm-openai:v0.20.2"}}}\n'


def test_what_the_page_shows_of_an_upgrade_is_what_is_printed(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs/stacks.md").read_text()
    shown = re.search(r"^    \$ sparkctl (lock box --upgrade .*)\n((?:    .*\n)+)", page, re.MULTILINE)
    assert shown is not None
    words, printed = shown.groups()
    own = {"SPARKCTL_ENGINE": "sim", "SPARKCTL_SIM_DIR": str(tmp_path / "sim")}
    operator = Operator(tmp_path, tmp_path / "folder", own)
    operator.write("recipes/stacks/box.yaml", STACK)
    operator.run("lock", "box").expect(0)
    done = operator.run(*shlex.split(words)).expect(0)
    assert done.out.replace("simulated │ ", "") == re.sub(r"^    ", "", printed, flags=re.MULTILINE)
