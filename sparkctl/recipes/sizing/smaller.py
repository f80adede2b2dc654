"""What a service would need with less: how a recipe is changed, and what that makes of its footprint. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from packaging.version import Version

from sparkctl.base.errors import InputError
from sparkctl.base.validation import validate
from sparkctl.memory import constants
from sparkctl.memory.footprint import sizing
from sparkctl.planning.admission import Change, Need, Sizes, StartupCheck, Switch
from sparkctl.recipes import layers
from sparkctl.recipes.recipe import Memory, Recipe
from sparkctl.recipes.sizing import devices
from sparkctl.recipes.sizing.estimate import estimate
from sparkctl.recipes.sizing.memory_settings import open_inputs
from sparkctl.vllm import flags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparkctl.memory.facts import ModelFacts
    from sparkctl.memory.footprint import Footprint, Once
    from sparkctl.memory.items import Item
    from sparkctl.memory.pool import HostProfile
    from sparkctl.recipes.catalog import LoadedRecipe

_READS_AVAILABLE: Final = Version("0.16.0")
"""The first release whose check reads MemAvailable on a GB10; 0.10.2 and 0.11.0 read what CUDA calls free, without the
page cache (read in these releases; what is between was not read, and counts as the older)."""
_SIXTEEN_BITS: Final = frozenset({"auto", "bfloat16", "float16"})

_ON_THE_HOST: Final = (
    ("cpu-offload-gb", "no weights on the host", 0.1),
    ("swap-space", "no swap space", 0.1),
    ("kv-offloading-size", "no KV cache on the host", 0.75),
)
"""Flags that take the host's memory, which is the GPU's: what they give least on a GB10 goes first."""


def need(taken: Footprint, recipe: Recipe, version: Version, profile: HostProfile) -> Need:
    """Return what the plan counts of a recipe's footprint: the most that it may take; ``version`` is the image's."""
    most, peak = taken.bound_bytes, taken.peak_bound_bytes
    spread = most - taken.steady_bytes
    if not taken.gpu_bytes:
        return Need(most, peak, spread_bytes=spread)
    check = StartupCheck(
        sizing(taken, devices.profile_for(recipe, profile)).gpu_memory_utilization,
        constants.BEFORE_THE_CHECK.size,
        counts_cache=version < _READS_AVAILABLE,
        taken_own_bytes=constants.BEFORE_THE_CHECK_OWN.size,
    )
    on_gpu = devices.on_gpu(taken, recipe)
    return Need(most, peak, check, on_gpu, spread)


class Resizer(NamedTuple):
    """Says what a recipe needs once it is changed, by the way that ``--set`` takes.

    ``learned`` lays what this host has measured over the items of an estimate.
    """

    loaded: LoadedRecipe
    facts: ModelFacts
    draft: ModelFacts | None
    profile: HostProfile
    once: Once
    learned: Callable[[tuple[Item, ...]], tuple[Item, ...]] = tuple

    @property
    def own_profile(self) -> HostProfile:
        """The profile as the service's GPU has it: of a machine with several, that of the one that it names."""
        return devices.profile_for(self.loaded.recipe, self.profile)

    @property
    def sizes(self) -> Sizes:
        """How the recipe can be made smaller."""
        limits = self.loaded.recipe.limits
        switches = tuple(_switches(self.loaded.recipe, self.facts, self.loaded.version.version))
        return Sizes(limits.context, limits.sequences, switches, self.need)

    def need(self, change: Change) -> Need | None:
        """Return what the changed recipe needs, or None where it cannot be served."""
        version = self.loaded.version.memory
        try:
            recipe = self._changed(change)
            taken = estimate(recipe, self.facts, self.draft, version, self.profile, once=self.once)
        except InputError:
            return None
        return need(taken._replace(items=self.learned(taken.items)), recipe, version, self.profile)

    def at(self, context: int) -> Need | None:
        """Return what the recipe needs with another context, or None where it cannot be served."""
        return self.need(Change(context=context))

    def _changed(self, change: Change) -> Recipe:
        """Return the changed recipe; numbers that are in order need no other look at its document.

        Raises:
            InputError: it is none.
        """
        if change.switches:
            return validate(layers.with_overrides(self.loaded.document, change.overrides), Recipe)
        given = {"context": change.context, "sequences": change.sequences}
        kept = self.loaded.recipe.limits
        limits = kept.model_copy(update={name: count for name, count in given.items() if count is not None})
        return self.loaded.recipe.model_copy(update={"limits": limits})


def _switches(recipe: Recipe, facts: ModelFacts, version: Version) -> Iterator[Switch]:
    """Yield the settings that make a recipe smaller and that it does not have."""
    if isinstance(recipe.memory, Memory):
        yield Switch("memory=auto", "as much cache as the limits need", 0.25)
    for name, words, loss in _ON_THE_HOST:
        if recipe.args.get(name):
            yield Switch(f"args.{name}=null", words, loss)
    dtype = recipe.args.get("kv-cache-dtype") or "auto"
    if recipe.gpus != "none" and dtype in _SIXTEEN_BITS and not flags.check_flag("kv-cache-dtype", "fp8", version):
        yield Switch("args.kv-cache-dtype=fp8", "an 8-bit KV cache", 0.5)
    inputs = open_inputs(recipe, facts)
    if inputs and not flags.check_flag("language-model-only", True, version):
        yield Switch("args.language-model-only=true", "text alone", 1.5)
    elif inputs:
        zeros = ", ".join(f"{name}: 0" for name in inputs)
        yield Switch(f"limits.multimodal={{{zeros}}}", "text alone", 1.5)
