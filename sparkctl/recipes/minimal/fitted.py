"""The limits of a recipe that sets none: the model's own context, bounded by what fits the host's profile alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.base.validation import validate
from sparkctl.planning.admission import fits_alone
from sparkctl.recipes.minimal.completed import with_default
from sparkctl.recipes.recipe import Recipe
from sparkctl.recipes.sizing.devices import profile_for
from sparkctl.recipes.sizing.estimate import estimate
from sparkctl.recipes.sizing.memory_settings import open_inputs
from sparkctl.recipes.sizing.smaller import need

if TYPE_CHECKING:
    from sparkctl.base.document import KeyPath
    from sparkctl.memory.facts import ModelFacts
    from sparkctl.memory.footprint import Once
    from sparkctl.memory.pool import HostProfile
    from sparkctl.recipes.catalog import LoadedRecipe

STEP: Final = 1024
"""Tokens between two contexts that are tried."""
_CONTEXT: Final = ("limits", "context")
_BATCHED: Final = ("limits", "batched-tokens")


def fitted(loaded: LoadedRecipe, once: Once, draft: ModelFacts | None, profile: HostProfile) -> LoadedRecipe:
    """Return a recipe with a context: its own, else the longest of the model that fits; the shortest if none does.

    The same recipe, model and profile give the same everywhere: what is free now has no part in it. ``once`` is of
    the model's facts.

    Raises:
        InputError: the model does not say its longest context, or its facts cannot be used.
    """
    facts = once.facts
    loaded = _with_largest_item(loaded, facts)
    if loaded.recipe.limits.context:
        return loaded
    longest = once.shape.max_context
    if longest is None:
        message = f"limits.context is not given, and {loaded.recipe.model.repo} does not say its longest context"
        raise InputError(message, hint="give it: limits: {context: 16384}, or --set limits.context=16384")

    def fits(context: int) -> bool:
        version, recipe = loaded.version.memory, _with(loaded, _CONTEXT, context).recipe
        taken = estimate(recipe, facts, draft, version, profile, once=once)
        return fits_alone(need(taken, recipe, version, profile), profile_for(recipe, profile).pool)

    if fits(longest):
        return _with(loaded, _CONTEXT, longest, "the model's own")
    low, high = 1, max(1, longest // STEP)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle * STEP) else (low, middle - 1)
    return _with(loaded, _CONTEXT, min(low * STEP, longest), f"what fits alone, of the model's {longest:,}")


def _with_largest_item(loaded: LoadedRecipe, facts: ModelFacts) -> LoadedRecipe:
    """Return a recipe without batched tokens with as many as the model's largest image needs."""
    item = facts.multimodal.max_item_tokens if facts.multimodal else None
    if item is None or loaded.recipe.limits.batched_tokens >= item or not open_inputs(loaded.recipe, facts):
        return loaded
    return _with(loaded, _BATCHED, item, "the model's largest image")


def _with(loaded: LoadedRecipe, path: KeyPath, value: int, why: str = "") -> LoadedRecipe:
    source = with_default(loaded.document, path, value, why)
    return loaded._replace(document=source, recipe=validate(source, Recipe))
