"""A service as it is deployed: its recipe, at the address and under the name that its container's labels say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError
from sparkctl.world.spec import LABEL_MODEL, LABEL_RECIPE, LABEL_URL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.mods.images import Images
    from sparkctl.operations.context import World
    from sparkctl.recipes.service import Service
    from sparkctl.world.engine import Container


def service_of(world: World, name: str, container: Container, images: Images, overrides: Sequence[str] = ()) -> Service:
    """Return the service that a container is, with what is laid over its recipe.

    Raises:
        InputError: its recipe is not there any more, or cannot be used.
    """
    recipe, url = container.labels.get(LABEL_RECIPE, ""), container.labels.get(LABEL_URL, "")
    if not world.catalog.knows(recipe):
        message = f"{name} was made from the recipe {recipe or '?'}, which is not there any more"
        raise InputError(message, hint=f"sparkctl status {name} says what it does, sparkctl logs {name} how far it is")
    own = [f"serve.port={url.rpartition(':')[2]}", f"serve.name={container.labels.get(LABEL_MODEL, '')}"]
    loader = world.loader(world.ports.models, images)
    (service,) = world.services(loader, loader.located([recipe], [*own, *overrides], strict=False))
    return replace(service, name=name)
