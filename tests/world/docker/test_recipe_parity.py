"""The containers of the shipped recipes: the adapter creates what the docker command line creates from their words."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from sparkctl.memory.pool import HostProfile
from sparkctl.mods import on_disk, placed
from sparkctl.mods.manifest import Mod
from sparkctl.recipes.catalog import Catalog, Root, shipped_root
from sparkctl.recipes.host_side.operator import Operator
from sparkctl.recipes.mods import PINS
from sparkctl.recipes.reading import Loader
from sparkctl.world.local.disk import DiskFiles
from sparkctl.world.local.models.folders import DiskModels
from tests.support.engine_fixtures import BOTH, STANDIN
from tests.support.inspect_parity import assert_same_container

if TYPE_CHECKING:
    from sparkctl.recipes.service import Service
    from sparkctl.world.docker.engine import DockerEngine

pytestmark = [pytest.mark.docker, BOTH]

CATALOG = Catalog([Root(shipped_root(), "shipped")])
ALIKE = "_spark"
"""The base of recipes that differ in the server's words alone, of which some stand for all."""
SOME_ALIKE = {"gpt-oss-120b", "qwen3-embedding-8b", "qwen3.6-27b-nvfp4-mtp"}
RECIPES = [
    entry.name
    for entry in CATALOG.recipes()
    if entry.name in SOME_ALIKE or f"extends: {ALIKE}\n" not in entry.path.read_text()
]


@pytest.fixture
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Service:
    """Return a recipe's service, for an operator who has all that its container mounts."""
    name: str = request.param
    operator = Operator(home=tmp_path, config=tmp_path / "config", state=tmp_path / "state")
    recipe = CATALOG.recipe(name).recipe
    for path in (recipe.cache, recipe.model.path):
        if path is not None:
            operator.expand(path).mkdir(parents=True)
    (operator.compiled / re.sub("[:/]", "_", recipe.image) / "by-tag").mkdir(parents=True)
    for mod in recipe.mods:
        _pin_invented(operator, mod)
    profile = CATALOG.load("host", "gb10", HostProfile)
    loader = Loader(CATALOG, DiskModels(), operator, profile)
    (service,) = loader.services(loader.located([name], (), strict=True))
    on_disk.stage(DiskFiles(), service.mods)
    return service


def _pin_invented(operator: Operator, mod: str) -> None:
    """Give the operator own files of a mod, with an invented content, and pin them."""
    folder, pinned = operator.mod_folder(mod), {}
    folder.mkdir(parents=True)
    for file in CATALOG.load("mod", mod, Mod).files:
        content = f"# {file.name}, invented\n".encode()
        (folder / file.name).write_bytes(content)
        pinned[file.name] = placed.pin(content).model_dump()
    (folder / PINS).write_text(yaml.safe_dump({"files": pinned}))


@pytest.mark.parametrize("service", RECIPES, indirect=True)
def test_a_recipes_container_is_the_one_that_its_words_create(
    service: Service, prefix: str, docker_engine: DockerEngine, docker_host: str
) -> None:
    assert [mount for mount in service.spec.mounts if not Path(mount.source or "").exists()] == []
    words = [word for word in service.words if word != "--detach"]  # docker create has none
    own = f"{prefix}-{service.name}"  # the engine may have a service of the recipe's name
    words[words.index("--name") + 1] = own
    words[words.index(service.spec.image)] = STANDIN  # whatever it is made from
    spec = replace(service.spec, name=own, image=STANDIN)
    assert_same_container(docker_engine, docker_host, spec, ["docker", "create", *words[2:]])
