"""The mods that a source names: those that are here already go into the recipe, the others are left over."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.recipes.exchange.launch import Leftover
from sparkctl.recipes.exchange.material import as_written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.recipes.exchange.launch import Launch, Word


class SourceMod(NamedTuple):
    """The result for a mod that a source names.

    ``name`` is the catalog's mod, None if there is none. Then ``why`` says so, ``folder`` is where the source has it
    (None: nowhere), and ``network`` whether its script needs the network.
    """

    name: str | None = None
    why: str = "no folder of this name is beside it"
    folder: str | None = None
    network: bool = False


def settled(launch: Launch, mods: Mapping[str, SourceMod]) -> Launch:
    """Return a launch whose mods are decided: names of mods in its keys, leftovers for the rest; ``mods`` by word."""
    found = [(word, mods.get(word.text, SourceMod())) for word in launch.mods]
    names = list(dict.fromkeys(mod.name for _, mod in found if mod.name is not None))
    leftovers = [_leftover(word, mod, launch) for word, mod in found if mod.name is None]
    keys = {**launch.keys, **({"mods": names} if names else {})}
    return replace(launch, mods=(), keys=keys, leftovers=(*launch.leftovers, *leftovers))


def _leftover(word: Word, mod: SourceMod, launch: Launch) -> Leftover:
    image = "IMAGE" if launch.image is None else as_written(launch.image.text)
    needs = "the folder of the mod, and `sparkctl mods bake`"
    if mod.folder is not None:
        network = " --network" if mod.network else ""
        needs = f"sparkctl mods bake {mod.folder} --image {image}{network}; then its name under mods:"
    return Leftover(word.place, f"mods: {word.text}", mod.why, needs)
