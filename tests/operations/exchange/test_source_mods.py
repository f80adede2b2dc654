"""Mods that imported files name: found in the folder or the checkout, baked where the operator asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.exchange import importing
from sparkctl.operations.exchange.mod_baker import ModBaker
from sparkctl.operations.exchange.source_mods import SourceMods
from sparkctl.recipes.exchange.launch import Launch, Refused, Word
from sparkctl.recipes.exchange.material import Material
from tests.support.fake_bench import FakeBench, ScriptEngine, text
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport
from tests.support.paths import EXCHANGE

if TYPE_CHECKING:
    from pathlib import Path

TARGET = "/usr/local/lib/python3.12/dist-packages/vllm/envs.py"
RECIPE = (EXCHANGE / "eugr.yaml").read_text()


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    """Return a Spark on which a script changes one file of the recipe's image."""
    engine = ScriptEngine(images={"vllm-node": {TARGET: b"OLD"}, "image:2": {TARGET: b"OLD"}}, vllm="0.20.2")
    bench = FakeBench(engine)
    bench.image[TARGET] = text("OLD")
    bench.done = {TARGET: text("NEW")}
    return FakeSpark(tmp_path / "home", engine=engine, bench=bench)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout with one recipe and its mod."""
    folder = tmp_path / "checkout"
    (folder / "recipes").mkdir(parents=True)
    (folder / "recipes/one.yaml").write_text(RECIPE)
    (folder / "mods/fix-example").mkdir(parents=True)
    (folder / "mods/fix-example/run.sh").write_text("#!/bin/bash\nsed -i s/OLD/NEW/ x\n")
    return folder


@pytest.mark.parametrize("source", ["", "recipes/one.yaml"])
def test_a_mod_is_found_in_the_checkout(checkout: Path, source: str) -> None:
    """Whether the folder is imported or one file of it; what it would take is told with its folder."""
    (recipe,) = importing.read(str(checkout / source)).usable
    assert "mods" not in recipe.made.keys
    (left,) = [one for one in recipe.made.leftovers if one.what.startswith("mods:")]
    assert left.needs is not None
    assert f"sparkctl mods bake {checkout}/mods/fix-example --image vllm-node;" in left.needs


def test_a_mod_that_is_here_is_named(checkout: Path) -> None:
    """By the name of its folder."""
    (recipe,) = importing.read(str(checkout), mods={"fix-example"}).usable
    assert recipe.made.keys["mods"] == ["fix-example"]


def test_a_mod_is_baked_when_that_is_told(spark: FakeSpark, checkout: Path) -> None:
    """Once for an image; the recipe names it."""
    (checkout / "recipes/two.yaml").write_text(RECIPE)
    baker = ModBaker(spark.world(FakeReport()))
    found = importing.read(str(checkout), baker=baker).usable
    assert [one.made.keys["mods"] for one in found] == [["fix-example"], ["fix-example"]]
    assert (spark.folder / "mods/fix-example/mod.yaml").is_file()
    assert baker.baked("fix-example", str(checkout / "mods/fix-example"), "image:2").name == "fix-example-2"


def test_what_cannot_be_baked_is_told(spark: FakeSpark, checkout: Path) -> None:
    """A script that needs the network is not run; one that comes to no mod, or has no image, says why."""
    baker = ModBaker(spark.world(FakeReport()))
    folder = str(checkout / "mods/fix-example")
    assert "could not be baked" in baker.baked("fix-example", folder, "nowhere:1").why
    assert isinstance(spark.bench, FakeBench)
    spark.bench.done = {"/usr/lib/x.so": text("\x7fELF")}
    assert "could not be baked" in baker.baked("fix-example", folder, "vllm-node").why
    (checkout / "mods/fix-example/run.sh").write_text("pip install x\n")
    (recipe,) = importing.read(str(checkout), baker=baker).usable
    (left,) = [one for one in recipe.made.leftovers if one.what.startswith("mods:")]
    assert left.why == "it needs the network (pip install)"
    assert "--network" in (left.needs or "")


def test_a_refused_launch_bakes_nothing(spark: FakeSpark, checkout: Path) -> None:
    """Nothing is run for what becomes no recipe, nor where no image is named."""
    place = Material("", "recipes/one.yaml").place(1)
    script = {"mods/fix-example/run.sh": "true\n"}
    mods = SourceMods((), checkout, script, ModBaker(spark.world(FakeReport())))
    launch = Launch("one", "eugr recipe", place, mods=(Word("fix-example", place),))
    refused = Launch("one", "eugr recipe", place, mods=launch.mods, refused=Refused("several nodes", "two"))
    assert mods.settled(refused, "recipes/one.yaml") == refused
    assert mods.settled(launch, "recipes/one.yaml").leftovers[0].why == (
        "it could not be baked: the source names no image"
    )
    assert not (spark.folder / "mods").exists()


def test_a_file_outside_of_any_checkout_has_no_mods(tmp_path: Path) -> None:
    """Nothing is looked for above a few folders."""
    (tmp_path / "a/b/c/d/e/f").mkdir(parents=True)
    (tmp_path / "a/b/c/d/e/f/one.yaml").write_text(RECIPE)
    (recipe,) = importing.read(str(tmp_path / "a/b/c/d/e/f/one.yaml")).usable
    assert any(one.why == "no folder of this name is beside it" for one in recipe.made.leftovers)
