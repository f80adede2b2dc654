"""A recipe or a stack that was exported for docker compose and is read again is the same container."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sparkctl.recipes.exchange.material import Material
from sparkctl.recipes.exchange.sources.compose.reader import ComposeFile, compose_file
from sparkctl.world.docker_run import grammar
from sparkctl.world.docker_run.spelling import split
from tests.support.fake_world import FakeSpark

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.world.spec import ContainerSpec


def exported(spark: FakeSpark, name: str) -> ComposeFile:
    text = spark.run("export", name, "--as", "compose").expect(0).out
    return compose_file(Material(text, "/srv/compose.yaml", {"HOME": "/home/operator", "PWD": "/srv"}))


@pytest.mark.parametrize("name", ["e4b-nvfp4", "26b-a4b-nvfp4", "qwen3.6-27b-nvfp4-mtp", "qwen3-embedding-8b"])
def test_a_recipe_is_the_same_container(name: str, tmp_path: Path) -> None:
    spark = FakeSpark(tmp_path)
    found = exported(spark, name)
    (launch,) = found.launches.values()
    assert launch.image is not None
    words = [word.text for word in (*launch.options, launch.image, *launch.command)]
    again = grammar.parse(["docker", "run", "--name", launch.name, *words])

    assert without_labels(again) == without_labels(grammar.parse(split(spark.run("render", name).expect(0).out)))
    assert (launch.refused, launch.leftovers, found.leftovers) == (None, (), ())


def without_labels(spec: ContainerSpec) -> ContainerSpec:
    """Return a spec without labels: the claim, as it is estimated, is not the same each time."""
    return replace(spec, labels=())


def test_a_stack_keeps_who_comes_after_whom_and_what_starts_by_itself(tmp_path: Path) -> None:
    found = exported(FakeSpark(tmp_path), "pair")
    assert (list(found.launches), found.started) == (["e4b-nvfp4", "26b-a4b-fp8"], ("e4b-nvfp4",))
    assert exported(FakeSpark(tmp_path), "executor").after["26b-a4b-nvfp4"] == ("e4b-nvfp4",)
