"""What a service would need with less: how a recipe is changed, and what that makes of its footprint. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.admission import Change, Need, Setting
from sparkctl.errors import InputError
from sparkctl.memory import footprint
from sparkctl.memory.settings import open_inputs
from sparkctl.recipe import Memory

if TYPE_CHECKING:
    from sparkctl.catalog import Loaded
    from sparkctl.memory.facts import ModelFacts
    from sparkctl.memory.pool import HostProfile
    from sparkctl.recipe import Recipe


def need(recipe: Recipe, taken: footprint.Footprint, profile: HostProfile) -> Need:
    """Return what the plan counts of a footprint."""
    check = footprint.check_bytes(taken, footprint.sizing(recipe, taken, profile), profile.total)
    return Need(taken.steady_bytes, taken.peak_bytes, check)


def setting(recipe: Recipe, facts: ModelFacts) -> Setting | None:
    """Return what of a recipe could be less; None where its memory does not follow from its limits."""
    if isinstance(recipe.memory, Memory):
        return None
    return Setting(
        context=recipe.limits.context,
        sequences=recipe.limits.sequences,
        may_halve_cache=recipe.args.get("kv-cache-dtype", "auto") == "auto" and recipe.gpus != "none",
        may_drop_inputs=bool(open_inputs(recipe, facts)),
    )


@dataclass(frozen=True, slots=True)
class Resizer:
    """Says what a recipe needs once it is changed."""

    loaded: Loaded
    facts: ModelFacts
    draft: ModelFacts | None
    profile: HostProfile

    def __call__(self, change: Change) -> Need | None:
        """Return the need, or None where the changed recipe cannot be served."""
        recipe = changed(self.loaded.recipe, change)
        try:
            taken = footprint.estimate(recipe, self.facts, self.draft, self.loaded.version.memory, self.profile)
        except InputError:
            return None
        return need(recipe, taken, self.profile)


def changed(recipe: Recipe, change: Change) -> Recipe:
    """Return the recipe with less."""
    limits = {"context": change.context, "sequences": change.sequences}
    less = recipe.limits.model_copy(update={name: value for name, value in limits.items() if value is not None})
    args = dict(recipe.args)
    if change.halved_cache:
        args["kv-cache-dtype"] = "fp8"
    if change.text_only:
        args["language-model-only"] = True
    return recipe.model_copy(update={"limits": less, "args": args})
