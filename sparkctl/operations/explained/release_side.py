"""A recipe as one release of vLLM serves it, read and planned: one side of a comparison of releases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError
from sparkctl.mods.manifest import Mod
from sparkctl.recipes.explained.release import Side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.world.host import Models


def side(world: World, models: Models, name: str, overrides: Sequence[str] = ()) -> Side:
    """Return a recipe, or a service of a stack, with what is laid over it; images that are here are not asked.

    For a side that cannot be planned, it says why.

    Raises:
        InputError: nothing has this name, or the recipe cannot be used.
    """
    loader = world.loader(models)
    (one,) = loader.located([name], overrides, strict=False)
    mods = {mod: world.catalog.load("mod", mod, Mod) for mod in one.loaded.recipe.mods}
    try:
        (service,) = loader.services([one])
    except InputError as error:
        return Side(one.loaded, mods, why=error.message.partition("\n")[0])
    return Side(service.resizer.loaded, mods, service)
