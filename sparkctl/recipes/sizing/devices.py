"""Which GPUs a recipe's server takes, by its ``gpus``, its environment and its ranks."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Final

from sparkctl.memory.items import Where
from sparkctl.planning.admission import OnGpu
from sparkctl.planning.devices import Devices
from sparkctl.vllm import kinds

if TYPE_CHECKING:
    from sparkctl.memory.footprint import Footprint
    from sparkctl.memory.pool import HostProfile
    from sparkctl.recipes.recipe import Recipe

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
_CDI: Final = "cdi:nvidia.com/gpu="


def of_recipe(recipe: Recipe) -> Devices | None:
    """Return the GPUs that a recipe's server takes, None for a vLLM on the CPU."""
    ids = named(recipe.gpus)
    if ids is None:
        return None
    visible = recipe.env.get(VISIBLE)
    return Devices(
        ids=ids,
        visible=None if visible is None else tuple(one.strip() for one in str(visible).split(",")),
        ranks=max(1, prod(kinds.ranks(recipe.args).values()) // recipe.nodes),
    )


def named(gpus: str) -> tuple[str, ...] | None:
    """Return the GPUs that ``gpus`` names, by index or UUID: () is all of them, None is none.

    Of a CDI device of another kind nothing is known but that it is a GPU: it counts as all of them.
    """
    if gpus == "none":
        return None
    name = gpus.removeprefix(_CDI)
    return () if name in {"all", "*"} or name.startswith("cdi:") else tuple(name.split(","))


def profile_for(recipe: Recipe, profile: HostProfile) -> HostProfile:
    """Return the profile as a recipe's service is sized by: that of the first GPU that it names by its index."""
    devices = of_recipe(recipe)
    if devices is None:
        return profile
    place = _number(devices.visible[0]) if devices.visible else 0
    if devices.ids:
        place = _number(devices.ids[place]) if place is not None and place < len(devices.ids) else None
    return profile if place is None else profile.of_gpu(place)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() else None


def on_gpu(taken: Footprint, recipe: Recipe) -> OnGpu | None:
    """Return what of a footprint each of its GPUs holds, None for a vLLM on the CPU."""
    devices = of_recipe(recipe)
    if devices is None:
        return None
    return OnGpu(taken.part(Where.GPU), taken.part(Where.HOST), devices)
