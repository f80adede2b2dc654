"""How fast a recipe's server is expected to write: what its flags mean for ``memory.pace``. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.memory.footprint import DRAFT
from sparkctl.memory.model.drafters import Drafter, drafter_of
from sparkctl.memory.pace.pace import Accepted, DraftReading, Pace
from sparkctl.memory.pace.roofline_share import ANSWER_TOKENS, PROMPT_TOKENS, speed
from sparkctl.memory.settings import WITHOUT_LAYERS, kv_dtype
from sparkctl.vllm.kinds import ServerKind, kind_of

if TYPE_CHECKING:
    from sparkctl.memory.footprint import Footprint
    from sparkctl.memory.pace.roofline_share import Speed
    from sparkctl.recipes.sizing.smaller import Resizer

SHORT: Final = PROMPT_TOKENS + ANSWER_TOKENS // 2
"""Tokens before the one that is written, unless it is said: half-way through an answer to a prompt of 1,024."""


def pace_of(resizer: Resizer, taken: Footprint, tokens: int = SHORT) -> Pace | None:
    """Return how fast a recipe's server writes behind so many tokens, at most its context.

    None for a server that does not write, on a CPU, on a card of unknown bandwidth, and where only the sum of the
    weights is known. ``taken`` is the recipe's footprint. What of its drafts is accepted is what the recipe's source
    saw (``expect.acceptance``).

    Raises:
        InputError: a number of the model's config that is missing, is none, or is impossible.
    """
    recipe, facts = resizer.loaded.recipe, resizer.facts
    bandwidth = resizer.own_profile.card.bytes_per_second
    if recipe.gpus == "none" or bandwidth is None or kind_of(recipe.args, facts.config) is not ServerKind.GENERATE:
        return None
    dtype = kv_dtype(recipe.args.get("kv-cache-dtype"), recipe.args.get("dtype"))
    before = min(tokens, recipe.limits.context or tokens)
    plain = speed(taken.loaded, resizer.once, dtype, before, bandwidth)
    if plain is None:
        return None
    expect = recipe.expect
    seen = Accepted(expect.acceptance, expect.source) if expect is not None and expect.acceptance else None
    return Pace(plain, _drafting(resizer, taken, plain), seen)


def _drafting(resizer: Resizer, taken: Footprint, plain: Speed) -> DraftReading | None:
    """Return what drafting reads in a step, None where nothing is drafted.

    A draft model is read whole for each token that it drafts; one that drafts all at once (DFlash) once. A model's own
    drafting layer reads what one of its layers reads, and the output's table. What copies from the text reads nothing.
    """
    asked = resizer.loaded.recipe.speculative
    if asked is None:
        return None
    count = asked.num_speculative_tokens
    if asked.method in WITHOUT_LAYERS:
        return DraftReading(count, 0, 0)
    if asked.model is None:
        return DraftReading(count, count, plain.reading.of_a_layer(plain.layers) + plain.reading.head)
    return DraftReading(count, 1 if _at_once(resizer) else count, taken.loaded.by_component.get(DRAFT, 0))


def _at_once(resizer: Resizer) -> bool:
    names = resizer.draft.config.get("architectures") if resizer.draft is not None else None
    named = drafter_of(str(names[0])) if isinstance(names, list) and names else None
    asked = resizer.loaded.recipe.speculative
    return named is Drafter.DFLASH or (asked is not None and asked.method == "dflash")
