"""A stack that was exported for docker compose is read again with its order (its containers: test_export_read_back)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.recipes.exchange.material import Material
from sparkctl.recipes.exchange.sources.compose.reader import ComposeFile, compose_file
from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path


def exported(spark: FakeSpark, name: str) -> ComposeFile:
    text = spark.run("export", name, "--as", "compose").expect(0).out
    return compose_file(Material(text, "/srv/compose.yaml", {"HOME": "/home/operator", "PWD": "/srv"}))


def test_a_stack_keeps_who_comes_after_whom_and_what_starts_by_itself(tmp_path: Path) -> None:
    found = exported(FakeSpark(tmp_path), "pair")
    assert (list(found.launches), found.started) == (["e4b-nvfp4", "26b-a4b-fp8"], ("e4b-nvfp4",))
    assert exported(FakeSpark(tmp_path), "executor").after["26b-a4b-nvfp4"] == ("e4b-nvfp4",)
