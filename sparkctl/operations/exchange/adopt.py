"""A container that somebody else started becomes a recipe, and is known as its service until that takes its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.operations.exchange import adopted, importing
from sparkctl.operations.exchange.adopted import AdoptedContainer
from sparkctl.operations.exchange.importing import Imports
from sparkctl.recipes.exchange.sources import inspected
from sparkctl.recipes.service import url_of
from sparkctl.world import labels

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.operations.exchange.importing import ImportedRecipe
    from sparkctl.recipes.exchange.fields.made import Choices
    from sparkctl.world.engine import Container


class Adoption(NamedTuple):
    """The result for a container: its recipe, the recipe's file, and whether it is now known as that service.

    ``known`` is False where the recipe has another name than the container: then `up` starts a second one.
    """

    recipe: ImportedRecipe
    path: Path
    known: bool


def adopt(world: World, name: str, choices: Choices, folder: str | None = None, *, over: bool = False) -> Adoption:
    """Write a recipe of a container, and keep that it is its service's. The container is not touched.

    ``folder`` and ``over`` are as for ``importing.write``.

    Raises:
        InputError: there is no such container, it is sparkctl's own, it runs no vLLM, or no recipe comes of it.
        EngineError: the engine does not answer.
    """
    container, recipe = made_of(world, name, choices)
    (path,) = importing.write(world, Imports((recipe,)), folder, over=over)
    known = recipe.name == container.name
    if known:
        _keep(world, container, recipe, path)
    return Adoption(recipe, path, known)


def made_of(world: World, name: str, choices: Choices) -> tuple[Container, ImportedRecipe]:
    """Return a container, and the recipe that it becomes; nothing is written.

    Raises:
        InputError, EngineError: as for ``adopt``.
    """
    creation, container = world.engine.creation(name), world.engine.container(name)
    if creation is None or container is None:
        raise InputError(f"there is no container {name}", hint="docker ps --all lists those that there are")
    adopted_before = labels.LABEL_ADOPTED in container.labels
    if labels.is_ours(container.labels) and not adopted_before:
        service = labels.read(container.labels).service or container.name
        raise InputError(f"{name} is sparkctl's already", hint=f"sparkctl recipes show {service} prints its recipe")
    world.hide_secrets_of(container)
    recipe = importing.imported(inspected.launch_of(creation), f"container {container.name}", choices)
    refused = recipe.made.refused
    if refused is not None:
        raise InputError(f"{container.name} does not become a recipe: {refused.reason}: {refused.message}")
    if "nodes" in recipe.made.keys:
        message = f"{container.name} is one of several ranks that share a model, and one alone is no service"
        raise InputError(message, hint="import the script or the recipe that starts them: sparkctl import FILE")
    return container, recipe


def _keep(world: World, container: Container, recipe: ImportedRecipe, path: Path) -> None:
    known = world.catalog.knows(recipe.name)
    loaded = world.catalog.recipe(recipe.name if known else str(path)).recipe
    there = [one.id for one in world.engine.containers()]
    names = (loaded.serve.name, *loaded.serve.aliases)
    row = AdoptedContainer(container.name, recipe.name if known else str(path), url_of(loaded), names)
    adopted.keep(world.ports.files, world.operator.state, container.id, row, there=there)
