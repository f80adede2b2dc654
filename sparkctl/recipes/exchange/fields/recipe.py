"""A launch as a recipe: the one way from what another tool's file says to the keys of a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.recipes.exchange.fields.made import Choices, Made, plain
from sparkctl.recipes.exchange.material import as_written

if TYPE_CHECKING:
    from sparkctl.recipes.exchange.launch import Launch


def recipe_of(launch: Launch, choices: Choices = Choices()) -> Made:  # noqa: B008  (an immutable value)
    """Return the recipe of a launch, with an account of each of its words; never raises."""
    name = choices.name or launch.name
    if launch.refused is not None:
        return Made(name, {}, leftovers=launch.leftovers, notes=launch.notes, refused=launch.refused)
    image = "" if launch.image is None else as_written(launch.image.text)
    keys = plain([(("image",), image), *(((key,), value) for key, value in launch.keys.items())])
    return Made(name, keys, leftovers=launch.leftovers, notes=launch.notes)
