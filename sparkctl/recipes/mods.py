"""A recipe's mods: what pins them, where their files come from, and which are made for something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base import document
from sparkctl.base.errors import Problem
from sparkctl.base.validation import validate
from sparkctl.mods import placed
from sparkctl.mods.manifest import Elsewhere, Mod, Pins

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.mods.manifest import ModFile
    from sparkctl.recipes.catalog import Catalog, LoadedRecipe

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
