"""Mods that an imported recipe names, baked in the recipe's image: only where the operator asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.base.errors import SparkctlError
from sparkctl.operations.mods.bake import BakeOptions, bake
from sparkctl.recipes.exchange.mods import SourceMod

if TYPE_CHECKING:
    from sparkctl.operations.context import World


class ModBaker:
    """Bakes each mod once for an image, without network, and remembers what came of it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._taken = {entry.name for entry in world.catalog.entries("mod")}
        self._done: dict[tuple[str, str], SourceMod] = {}

    def baked(self, name: str, folder: str, image: str) -> SourceMod:
        """Return the mod that a folder's script comes to in an image, or why it comes to none; never raises for that.

        ``name`` is what it is called; another image's mod of that name stays, and this one gets a number.
        """
        key = (folder, image)
        if key not in self._done:
            self._done[key] = self._baked(self._free(name), folder, image)
        return self._done[key]

    def _free(self, name: str) -> str:
        number = 2
        free = name
        while free in self._taken:
            free, number = f"{name}-{number}", number + 1
        return free

    def _baked(self, name: str, folder: str, image: str) -> SourceMod:
        try:
            done = bake(self._world, Path(folder), BakeOptions(image, name=name))
        except SparkctlError as error:
            return SourceMod(None, f"it could not be baked: {_first(error)}", folder)
        if done.refusal is not None:
            return SourceMod(None, f"it could not be baked: {_first(done.refusal)}", folder)
        self._taken.add(name)
        return SourceMod(done.folder.name)


def _first(error: SparkctlError) -> str:
    return error.message.split("\n", 1)[0]
