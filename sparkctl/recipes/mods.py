"""A recipe's mods: what pins them, where their files come from, and which are made for something else."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from sparkctl.base import document
from sparkctl.base.errors import EngineError, InputError, Problem
from sparkctl.base.validation import validate
from sparkctl.mods import placed
from sparkctl.mods.manifest import Elsewhere, Mod, Pins

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sparkctl.mods.images import Images
    from sparkctl.mods.manifest import ModFile
    from sparkctl.mods.placed import MountedMod
    from sparkctl.recipes.catalog import Catalog, LoadedRecipe
    from sparkctl.recipes.host_side.operator import Operator
    from sparkctl.recipes.recipe import Recipe
    from sparkctl.recipes.service import Source
    from sparkctl.world.engine import Package

PINS: Final = "pins.yaml"


def misfits(catalog: Catalog, loaded: LoadedRecipe) -> list[Problem]:
    """Return a warning for each mod that is made for something else than the recipe has.

    Raises:
        InputError: a mod that is not there, or cannot be used.
    """
    recipe, asked = loaded.recipe, loaded.version.asked
    return [
        Problem(text, loaded.document.place(("mods", index)), warning=True)
        for index, name in enumerate(recipe.mods)
        for text in placed.misfits(name, catalog.load("mod", name, Mod), recipe.image, asked)
    ]


def pins_of(own: Path, folder: Path) -> Pins:
    """Return a mod's pins: those of the operator's own folder above those beside its manifest.

    Raises:
        InputError: a file of pins that cannot be used.
    """
    read = [validate(document.read(path / PINS), Pins) for path in (folder, own) if (path / PINS).is_file()]
    return Pins(files={name: pin for pins in read for name, pin in pins.files.items()})


def original(file: ModFile, own: Path, folder: Path, model: Path | None) -> Path | None:
    """Return where a mod's file comes from: the operator's own copy, else the mod's folder or the checkpoint's."""
    if (own / file.name).exists():
        return own / file.name
    if not isinstance(file.source, Elsewhere):
        return folder / file.name
    return model / file.name if file.source.model is not None and model is not None else None


def _of_checkpoint(mod: MountedMod, model: Path | None) -> bool:
    return model is not None and mod.original == model / mod.name


class Mounter:
    """Says where the files of recipes' mods come from and what they are laid over.

    ``images`` are asked where their packages are, each once; what they cannot say is added to ``warnings``.
    """

    def __init__(self, catalog: Catalog, operator: Operator, images: Images | None, warnings: list[Problem]) -> None:
        self._catalog = catalog
        self._operator = operator
        self._images = images
        self._warnings = warnings
        self._packages: dict[tuple[str, str], Package | None] = {}

    def mounted(self, recipe: Recipe, assumed: str | None, model: Source) -> tuple[MountedMod, ...]:
        """Return a recipe's mods as they are mounted; ``assumed`` is where its template says that packages are.

        Raises:
            InputError: a mod that is not there or cannot be used, or two that cover one file.
        """
        found: list[MountedMod] = []
        for name in recipe.mods:
            found += self._mod(name, partial(self._root, recipe.image, assumed, name), model)
        placed.refuse_overlaps(found)
        return tuple(found)

    def _mod(self, name: str, roots: Callable[[str], str], model: Source) -> list[MountedMod]:
        mod = self._catalog.load("mod", name, Mod)
        own = self._operator.mod_folder(name)
        folder = self._catalog.path("mod", name).parent
        pins = pins_of(own, folder)
        originals = {file.name: original(file, own, folder, model.here) for file in mod.files}
        found = placed.mounted(name, mod, pins, roots, self._operator.states, originals)
        there = self._operator.own_state is not None  # another host's, whose disk has the checkpoint
        return [replace(one, on_host=there and _of_checkpoint(one, model.here)) for one in found]

    def _root(self, image: str, assumed: str | None, mod: str, package: str) -> str:
        """Return the folder that a package lies in: as the image's Python says, else as the template assumes."""
        if (image, package) not in self._packages:
            self._packages[image, package] = self._package(image, package)
        found = self._packages[image, package]
        if found is not None and found.folder is not None and found.on_disk:
            return found.folder.removesuffix(f"/{package}")
        if assumed is None:
            message = f"mod {mod} names a module, and the template does not say where its images keep them"
            raise InputError(message, hint="give the template a package_root, or the mod's file a path:")
        return assumed

    def _package(self, image: str, package: str) -> Package | None:
        if self._images is None or not self._images.there(image):
            return None
        try:
            return self._images.packages(image, [package]).get(package)
        except EngineError as error:
            self._warnings.append(Problem(": ".join(filter(None, [error.message, error.hint])), warning=True))
            return None
