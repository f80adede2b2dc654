"""The keys that docs/json.md promises are those that the commands print."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeStore
from tests.support.measured import MEASURED
from tests.support.paths import FIXTURES, REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

FAILED = next((FIXTURES / "vllm-0.20.2-h200" / "failures").glob("f2-*.log"))
PAGE = (REPOSITORY / "docs" / "json.md").read_text()


def documented(command: str) -> list[str]:
    """Return the top-level keys of a command's row."""
    (row,) = re.findall(rf"^\| `{re.escape(command)} --json` \| \w+ \| (.*) \|$", PAGE, re.MULTILINE)
    flat = re.sub(r"\[?\{.*?\}\]?|\(.*?\)", "", row)
    return re.findall(r"`(\w+)`", flat)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("plan NAME…", ["plan", "e4b-nvfp4"]),
        ("measurements [NAME…]", ["measurements"]),
        ("ps", ["ps"]),
        ("check NAME", ["check", "e4b-nvfp4"]),
        ("verify-mods [NAME…]", ["verify-mods", "--all"]),
        ("status NAME", ["status", "e4b-nvfp4"]),
        ("mods list", ["mods", "list"]),
        ("mods show NAME", ["mods", "show", "gemma4-mtp-fix-only"]),
        ("render NAME", ["render", "e4b-nvfp4"]),
        ("job list", ["job", "list"]),
        ("job show NAME", ["job", "show", "quantize-26b-fp8"]),
        ("recipes", ["recipes"]),
        ("recipes show NAME", ["recipes", "show", "e4b-nvfp4"]),
        ("recipes lint [NAME…]", ["recipes", "lint", "e4b-nvfp4"]),
        ("diagnose FILE", ["diagnose", str(FAILED)]),
        ("doctor", ["doctor"]),
    ],
)
def test_the_documented_keys_are_the_printed_ones(command: str, arguments: list[str], tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path, store=FakeStore().measured(MEASURED))
    spark.run("up", "e4b-nvfp4").expect(0)
    printed = spark.run(*arguments, "--json").json
    one = printed[0] if isinstance(printed, list) else printed
    keys = documented(command)
    if command.startswith("render"):
        assert set(keys) <= set(one)
    else:
        assert list(one) == keys
