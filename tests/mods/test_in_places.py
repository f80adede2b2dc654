"""Mods where they meet the world: other names of a file, stacks, and an image that is not the recipe's now."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from sparkctl.base import document
from sparkctl.base.errors import ProblemsError
from sparkctl.base.validation import validate
from sparkctl.mods.images import Images
from sparkctl.mods.manifest import Mod
from sparkctl.mods.placed import MountedMod
from sparkctl.mods.verdicts import check_image
from sparkctl.world.engine import Container
from sparkctl.world.labels import LABEL_RECIPE, LABEL_SERVICE
from tests.support.fake_engine import FakeEngine
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeFiles

if TYPE_CHECKING:
    from pathlib import Path

ROOT = "/usr/local/lib/python3.12/dist-packages"
TARGET = f"{ROOT}/vllm/model_executor/models/gemma4_mtp.py"
GOOD = b"FIXED = True\n"
RECIPE = """\
template: vllm-openai
image: image:1
vllm: "0.19"
model: {repo: a/b, path: ~/models/m, facts: gemma-4-e4b}
gpus: none
serve: {name: m, port: 8044}
limits: {context: 1024, sequences: 1, batched-tokens: 2496}
mods: [fix]
"""


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def manifest(text: str) -> Mod:
    return validate(document.load(text, "mods/fix/mod.yaml"), Mod)


def write(folder: Path, path: str, text: str) -> None:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_two_slashes_are_no_other_file() -> None:
    with pytest.raises(ProblemsError):
        manifest(f'files: [{{path: //usr/x.py, source: a.py, md5: "{md5(GOOD)}"}}]\n')


def test_a_module_at_the_top_is_looked_for_as_a_file(tmp_path: Path) -> None:
    source = tmp_path / "six.py"
    source.write_bytes(GOOD)
    mod = MountedMod("fix", "six.py", source, tmp_path / "s", f"{ROOT}/six.py", md5(GOOD), root=ROOT)
    check_image(Images(FakeEngine(images={"i": {f"{ROOT}/six.py": b""}}), FakeFiles()), "i", [mod])


@pytest.fixture
def spark(tmp_path: Path) -> FakeSpark:
    spark = FakeSpark(tmp_path)
    write(tmp_path, "recipes/one.yaml", RECIPE)
    write(tmp_path, "mods/fix/fix.py", GOOD.decode())
    write(
        tmp_path,
        "mods/fix/mod.yaml",
        "files:\n  - {module: vllm.model_executor.models.gemma4_mtp, source: fix.py, "
        f'md5: "{md5(GOOD)}", replaces: {{md5: "{md5(b"OLD")}"}}}}\n',
    )
    spark.engine.images["image:1"] = {TARGET: b"OLD", f"{ROOT}/vllm/__init__.py": b""}
    return spark


def running(spark: FakeSpark, name: str, recipe: str, image: str = "image:1") -> None:
    label = f'[{{"md5":"{md5(GOOD)}","mod":"fix","target":"{TARGET}"}}]'
    labels = {LABEL_SERVICE: name, LABEL_RECIPE: recipe, "sparkctl.mods": label}
    spark.engine.there[f"id-{name}"] = Container(
        f"id-{name}", name, image, "sha", "running", labels, mounts=(("/staged", TARGET, True),)
    )
    spark.engine.files[name, TARGET] = GOOD


def verdicts(spark: FakeSpark, *names: str) -> list[tuple[str, str, str, str]]:
    done = spark.run("verify-mods", *names, "--json")
    assert done.out, done.err
    return [(row["service"], row["host"], row["image"], row["container"]) for row in done.json]


def test_control_a_running_recipe_holds(spark: FakeSpark) -> None:
    running(spark, "one", "one")
    assert verdicts(spark, "one") == [("one", "ok", "ok", "ok")]


def test_a_stacks_service_is_checked_in_all_three_places(spark: FakeSpark) -> None:
    running(spark, "reasoner", "one")
    spark.engine.images["image:1"][TARGET] = b"NEWER"
    write(spark.folder, "mods/fix/fix.py", "TAMPERED")
    assert verdicts(spark, "reasoner") == [("reasoner", "changed", "changed", "ok")]


def test_the_image_of_what_runs_is_checked_and_not_the_recipes_new_one(spark: FakeSpark) -> None:
    running(spark, "one", "one", image="image:0")
    spark.engine.images["image:0"] = {TARGET: b"OLDER", f"{ROOT}/vllm/__init__.py": b""}
    assert verdicts(spark, "one") == [("one", "ok", "changed", "ok")]
