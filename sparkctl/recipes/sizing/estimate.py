"""What a recipe needs of the host's memory, or why it cannot be served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError, ProblemsError
from sparkctl.base.units import format_gib
from sparkctl.memory.footprint import Once, footprint
from sparkctl.recipes.sizing import devices
from sparkctl.recipes.sizing.memory_settings import problems, settings_of

if TYPE_CHECKING:
    from packaging.version import Version

    from sparkctl.memory.facts import ModelFacts
    from sparkctl.memory.footprint import Footprint
    from sparkctl.memory.pool import HostProfile
    from sparkctl.recipes.recipe import Recipe


def estimate(
    recipe: Recipe,
    facts: ModelFacts,
    draft_facts: ModelFacts | None,
    version: Version,
    profile: HostProfile,
    *,
    once: Once | None = None,
    worker: bool = False,
) -> Footprint:
    """Return what the recipe needs; the same inputs give the same on every machine.

    ``version`` is the image's vLLM; ``draft_facts`` are None where nothing is known of a draft model, or there is none.
    ``once`` is of the same facts. ``worker``: of a rank on another host than the head's, where several share the model.

    Raises:
        InputError: facts that cannot be used, or memory settings that cannot serve the recipe's limits.
        ProblemsError: limits that the model cannot keep.
    """
    once = once or Once(facts)
    wrong = problems(recipe, facts, once.shape)
    if wrong:
        raise ProblemsError(wrong)
    given = settings_of(recipe, facts, version)
    given = given._replace(split=given.split._replace(worker=worker))
    own = devices.profile_for(recipe, profile)
    taken = footprint(given, once.shape, once.weights(given), draft_facts, own)
    least = taken.kv.bytes_for(1)
    if given.on_gpu and given.kv_bytes is not None and given.kv_bytes < least:
        context = given.kv.context
        message = f"memory.kv: {format_gib(given.kv_bytes)} is less than one sequence of {context} tokens takes"
        raise InputError(message, hint=f"{least} bytes are the least; or make limits.context smaller")
    if given.beside.blocks is not None and taken.kv_bytes < least:
        blocks, context = least // taken.kv.bytes_per_block, given.kv.context
        message = f"args.num-gpu-blocks-override: {given.beside.blocks} blocks are less than one sequence of "
        raise InputError(
            f"{message}{context} tokens takes", hint=f"{blocks} are the least; or make limits.context smaller"
        )
    return taken
