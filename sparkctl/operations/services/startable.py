"""From a request to services that can be started: their models are here, their secrets have values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError
from sparkctl.operations import models
from sparkctl.operations.mods.fetched import fetch_missing
from sparkctl.operations.services import image_pull
from sparkctl.vllm.flags import AUTO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.memory.asked_set import AskedSet
    from sparkctl.recipes.located import Located
    from sparkctl.recipes.reading import Loader
    from sparkctl.recipes.service import Service


def startable(world: World, loader: Loader, asked: AskedSet, *, download: bool = False) -> list[Service]:
    """Return the services of a set, whose models are here and whose secrets have values.

    Raises:
        InputError: as for ``up``; but an image that says which vLLM it has, and mods, nothing was fetched.
        EngineError: such an image cannot be had.
    """
    _refuse_hosts(world, asked)
    located = asked.located(loader)
    if _came(world, located):
        located = asked.located(loader)
    if download:
        models.download(world, located)
        located = asked.located(loader)
    models.require(world, located)
    models.require_files(loader, located)
    services = world.services(loader, located)
    for service in services:
        world.required_secrets(service)
    fetch_missing(world, [mod for service in services for mod in service.mods])
    return services


def _refuse_hosts(world: World, asked: AskedSet) -> None:
    """Refuse a stack that runs on several hosts: here all of it would be started on this one.

    Raises:
        InputError: it is such a stack.
    """
    for name in asked.names:
        if world.catalog.knows_stack(name) and world.catalog.stack(name).stack.hosts:
            message = f"{name} lists its hosts, and this starts services on one machine alone"
            hint = f"sparkctl apply {name} starts each on its host; sparkctl --host HOST up SERVICE starts one"
            raise InputError(message, hint=hint)


def _came(world: World, located: Sequence[Located]) -> bool:
    """Fetch the images that say which vLLM a recipe is counted with, and return whether any had to be fetched."""
    recipes = [(one.member.service, one.loaded.recipe) for one in located if one.loaded.recipe.vllm == AUTO]
    if recipes:
        world.refuse_elsewhere()
    came = [image_pull.pull(world.ports, world.report, name, recipe.image) for name, recipe in recipes]
    return any(came)
