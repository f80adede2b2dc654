"""Export and import are each other's inverse: this project's own readers find the same container in what it exports."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pytest

from sparkctl.operations.exchange.export import export, text_of
from sparkctl.recipes.catalog import Catalog, Root, shipped_root
from sparkctl.recipes.exchange import forms
from sparkctl.recipes.exchange.exports.exported import ExportTarget
from sparkctl.recipes.exchange.material import Material
from sparkctl.world.docker_run import grammar
from tests.support.fake_world import FakeSpark
from tests.support.fakes import FakeReport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.operations.context import World
    from sparkctl.world.spec import ContainerSpec

CATALOG = Catalog([Root(shipped_root(), "shipped")])
NAMES = [entry.name for entry in (*CATALOG.recipes(), *CATALOG.entries("stack"))]
LABELS = ()
"""Of labels each reader keeps what is not sparkctl's, and here all are."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return FakeSpark(tmp_path_factory.mktemp("read-back")).world(FakeReport())


@cache
def specs(world: World, name: str) -> dict[str, ContainerSpec]:
    """Return the containers of a recipe or a stack, as its services render them."""
    loader = world.loader(world.disk_models)
    services = world.services(loader, loader.located([name], [], strict=False))
    return {service.name: replace(service.spec, labels=LABELS) for service in services}


def read_back(world: World, name: str, target: ExportTarget) -> Iterator[tuple[str, ContainerSpec]]:
    """Yield the name and the container of each server that is found in an export."""
    for file in export(world, name, target).files:
        material = Material(text_of(file), file.name)
        form = forms.form_of(material)
        for launch in form.read(material) if form is not None else ():
            if launch.refused is None and launch.image is not None:
                words = [*(word.text for word in launch.options), launch.image.text]
                spec = grammar.parse(["docker", "run", *words, *(word.text for word in launch.command)])
                yield launch.name, replace(spec, labels=LABELS)


@pytest.mark.parametrize("target", [ExportTarget.DOCKER_RUN, ExportTarget.SYSTEMD, ExportTarget.QUADLET])
def test_a_command_is_found_as_it_was(world: World, target: ExportTarget) -> None:
    for name in NAMES:
        wanted, found = specs(world, name), dict(read_back(world, name, target))
        on_demand = {"26b-a4b-fp8"} if (name, target) == ("pair", ExportTarget.DOCKER_RUN) else set()
        assert found == {one: spec for one, spec in wanted.items() if one not in on_demand}


def test_compose_has_the_name_as_a_key_and_the_secrets_elsewhere(world: World) -> None:
    """An env-file is not beside the file, and is left over with the names that it lacks."""
    for name in NAMES:
        wanted = {one: replace(spec, name="", env_files=()) for one, spec in specs(world, name).items()}
        assert {one: replace(spec, name="") for one, spec in read_back(world, name, ExportTarget.COMPOSE)} == wanted


def test_llama_swap_removes_what_ended(world: World) -> None:
    for name in NAMES:
        wanted = {one: replace(spec, auto_remove=True) for one, spec in specs(world, name).items()}
        assert dict(read_back(world, name, ExportTarget.LLAMA_SWAP)) == wanted


def test_sparkrun_keeps_every_flag_of_the_server(world: World) -> None:
    for name in NAMES:
        wanted = specs(world, name)
        for one, spec in read_back(world, name, ExportTarget.SPARKRUN):
            asked = list(wanted[one].command)
            kept = asked[asked.index("--served-model-name") :]
            for flag in ("--host", "--port"):  # which every one of its recipes has
                if flag in kept:
                    del kept[kept.index(flag) : kept.index(flag) + 2]
            assert list(spec.command)[7:] == kept
            assert (spec.shm_size, spec.gpus) == (wanted[one].shm_size, wanted[one].gpus)
