"""Models that are not on this host: what to say, and how they get here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base import units
from sparkctl.base.errors import InputError
from sparkctl.memory.facts import ModelFacts
from sparkctl.operations.memory import hub_models

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.recipes.reading import Located
    from sparkctl.recipes.service import Source


def require(world: World, located: Sequence[Located]) -> None:
    """Refuse what is not here: vLLM would download it unseen, within the time that its start may take.

    Raises:
        InputError: a model is missing; with its size, the free disk and the command that downloads it.
    """
    absent = [one for one in located if one.missing]
    if absent:
        lines = [
            f"{name(one)}: {source.missing}{_size(world, one, source)}" for one in absent for source in one.missing
        ]
        raise InputError("\n".join(lines), hint="    ".join(f"sparkctl download {one.member.recipe}" for one in absent))


def download(world: World, located: Sequence[Located]) -> None:
    """Download what is missing, into the recipe's folder, else into its cache.

    Raises:
        InputError: the hub, the network or the disk refused.
    """
    for one in located:
        for source in one.missing:
            _download(world, one, source)


def name(one: Located) -> str:
    """Return what the operator calls it."""
    return one.member.service


def _download(world: World, one: Located, source: Source) -> None:
    recipe = one.loaded.recipe
    cache = world.operator.expand(recipe.cache or "~/.cache/huggingface")
    where = source.folder or cache
    world.report.say(f"{name(one)}: downloading {source.repo}{_size(world, one, source)} to {where}")
    revision = recipe.model.revision if source is one.model else None
    world.hub.download(source.repo, revision, folder=source.folder, cache=cache)


def _size(world: World, one: Located, source: Source) -> str:
    """Return what is known of the download's size and the disk's room, for a message."""
    bytes_ = _known_bytes(world, one, source)
    size = f"about {units.format_bytes(bytes_)}" if bytes_ else "of unknown size"
    free = world.host.disk_free_bytes(source.folder or world.operator.home)
    return f" ({size}; {units.format_bytes(free)} free on the disk)" if free is not None else f" ({size})"


def _known_bytes(world: World, one: Located, source: Source) -> int | None:
    """Return what a repository's weights take on disk: as model facts have it, or the hub said before."""
    model, speculative = one.loaded.recipe.model, one.loaded.recipe.speculative
    named = model.facts if source is one.model else speculative and speculative.facts
    sheet = named or world.catalog.facts_of(source.repo)
    facts = world.catalog.load("facts", sheet, ModelFacts) if sheet else None
    known = facts.checkpoints if facts else []
    sizes = [checkpoint.size for checkpoint in known if checkpoint.repo == source.repo and checkpoint.size]
    if sizes:
        return sizes[0]
    said = hub_models.known(world, source.repo, model.revision if source is one.model else None)
    return sum(tensor.bytes for tensor in said.facts.tensors) or None if said else None
