"""A review of imported recipes: the words that they render, doubts, and whether each fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import SparkctlError
from sparkctl.operations.files import recipes, render
from sparkctl.operations.memory import plan
from sparkctl.operations.memory.asked_set import AskedSet
from sparkctl.recipes.exchange.fields.differences import differences

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.operations.exchange.importing import ImportedRecipe
    from sparkctl.operations.files.recipes import Linted
    from sparkctl.recipes.exchange.fields.differences import WordDifference


class ImportReview(NamedTuple):
    """The review of one recipe: its words beside the source's, and in a sentence whether it fits beside what runs.

    ``unrendered`` is why there are no words, such as a model of which nothing is known here.
    """

    differences: tuple[WordDifference, ...]
    unrendered: str | None
    fits: str


def linted(world: World, paths: Sequence[Path]) -> Linted:
    """Return what is wrong or doubtful with recipes.

    Raises:
        InputError: one of them cannot be read.
    """
    return recipes.lint(world, [str(path) for path in paths])


def review(world: World, recipe: ImportedRecipe, path: Path) -> ImportReview:
    """Return the review of one recipe; never raises for its faults."""
    try:
        planned = plan.plan(world, AskedSet((str(path),)))
        words = tuple(planned.services[0].words)
    except SparkctlError as error:
        return _unplanned(world, recipe, path, f"not planned: {error.message}")
    told = "it fits beside what runs" if planned.fits else f"it does not fit now: {planned.plan.reasons[0]}"
    return ImportReview(tuple(differences(recipe.made, words)), None, told)


def _unplanned(world: World, recipe: ImportedRecipe, path: Path, why: str) -> ImportReview:
    """Return what is said of a recipe that cannot be planned here; its words need no engine."""
    try:
        words, unrendered = render.render(world, str(path)).words, None
    except SparkctlError as error:
        words, unrendered = (), error.message
    return ImportReview(tuple(differences(recipe.made, words)), unrendered, why)
