"""docs/recipes.md and the declarations say the same, and its examples are recipes."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

from scripts import failure_table, format_tables, speed_table
from sparkctl.base.document import load
from sparkctl.base.validation import validate
from sparkctl.recipes.recipe import Recipe
from sparkctl.recipes.stack import Stack
from tests.support.fake_world import FakeSpark
from tests.support.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ROOT = REPOSITORY
PAGE = ROOT / "docs" / "recipes.md"


def test_the_tables_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["", "--check"])
    format_tables.main()  # it exits where a page is out of date


def test_the_table_of_errors_is_up_to_date() -> None:
    script = [sys.executable, ROOT / "scripts" / "error_table.py", "--check"]
    done = subprocess.run(script, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)})
    assert (done.returncode, done.stderr) == (0, "")


def test_the_table_of_speeds_is_up_to_date_and_says_that_most_are_close() -> None:
    assert speed_table.main(["--check"]) == 0
    said = re.search(r"(\d+) of (\d+) figures \(\d+%\) are within 15%", (ROOT / "docs" / "speed.md").read_text())
    assert said is not None
    close, figures = map(int, said.groups())
    assert figures >= 97
    assert close / figures >= 0.8


def test_the_table_of_failures_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["", "--check"])
    failure_table.main()  # it exits where a page is out of date


def test_the_examples_are_right() -> None:
    blocks = [textwrap.dedent(block) for block in re.findall(r"(?:^    .+\n)+", PAGE.read_text(), re.MULTILINE)]
    examples = {block.split(":")[0]: block for block in blocks if not block.startswith("sparkctl")}
    assert validate(load(examples["description"], "docs"), Recipe).limits.context == 16384
    assert validate(load(examples["services"], "docs"), Stack).services["reasoner"].set == {"limits.context": 65536}


def test_the_example_of_a_stack_lints_and_fits(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "stacks.md").read_text()
    example = re.search(r"(?:^    .+\n)+", page, re.MULTILINE)
    assert example is not None
    file = tmp_path / "mine.yaml"
    file.write_text(textwrap.dedent(example[0]))
    spark = FakeSpark(tmp_path)
    assert spark.run("recipes", "lint", str(file)).expect(0).err.endswith("checked 1, errors 0, warnings 0\n")
    assert spark.run("plan", str(file), "--json").expect(0).json["fits"]
