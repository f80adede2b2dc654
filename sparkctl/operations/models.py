"""Models that are not on this host: what to say, and how they get here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base import units
from sparkctl.base.errors import InputError
from sparkctl.operations.memory import hub_models
from sparkctl.recipes.job.maker import maker_of
from sparkctl.recipes.sizing.known_models import known_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.recipes.located import Located
    from sparkctl.recipes.reading import Loader
    from sparkctl.recipes.recipe import Recipe
    from sparkctl.recipes.service import Source


def require(world: World, located: Sequence[Located]) -> None:
    """Refuse what is not here: vLLM would download it unseen, within the time that its start may take.

    Raises:
        InputError: a model is missing; with its size, the free disk and the command that makes or downloads it.
    """
    absent = [one for one in located if one.missing]
    if absent:
        lines = [
            f"{name(one)}: {source.missing}{_size(world, one, source)}" for one in absent for source in one.missing
        ]
        wanted = dict.fromkeys(
            way_here(world, one.member.asked or name(one), one.member.recipe, one.loaded.recipe) for one in absent
        )
        raise InputError("\n".join(lines), hint="    ".join(wanted))


def way_here(world: World, asked: str, recipe_name: str, recipe: Recipe) -> str:
    """Return the command with which a recipe's model comes onto this host: the job that makes it, or its download."""
    download = f"sparkctl download {asked}"
    maker = maker_of(world.catalog, world.operator, recipe_name, recipe)
    if maker is None:
        return download
    made = f"sparkctl job run {maker.name} makes it"
    if maker.alone:
        return made
    return f"{made}; or {download} fetches {recipe.model.repo}"


class Downloaded(NamedTuple):
    """What came of a download: the repositories that were ``fetched``, and ``unneeded``: services and repositories.

    Those are not here, and a simulated Spark needs no files of them; it fetches none.
    """

    fetched: tuple[str, ...] = ()
    unneeded: tuple[tuple[str, str], ...] = ()


def bring(world: World, names: Sequence[str], overrides: Sequence[str] = ()) -> Downloaded:
    """Download the models of recipes or stacks that are not on this host; a simulated Spark downloads nothing.

    Raises:
        InputError: as for ``download``; or a name or a file that cannot be used. On a simulated Spark: of a model a
            part is here, and that is damaged.
    """
    located = world.loader(world.disk_models).located(names, overrides, strict=False)
    absent = tuple((name(one), source.repo) for one in located for source in one.missing)
    if world.simulated:
        refuse_damaged(located)
        return Downloaded(unneeded=absent)
    download(world, located)
    return Downloaded(tuple(dict.fromkeys(repo for _, repo in absent)))


def download(world: World, located: Sequence[Located]) -> None:
    """Download what is missing, into the recipe's folder, else into its cache.

    Raises:
        InputError: the hub, the network or the disk refused, or what came is not the whole model; or a job makes
            the recipe's model of the one that it names.
    """
    for one in located:
        _refuse_input(world, one)
    for one in located:
        for source in one.missing:
            _download(world, one, source)
            _check(world, one, source)


def _refuse_input(world: World, one: Located) -> None:
    """Refuse to put a job's input, which has 16 bits, where its product has to be."""
    recipe = one.loaded.recipe
    if not one.model.missing:
        return
    maker = maker_of(world.catalog, world.operator, one.member.recipe, recipe)
    if maker is not None and maker.alone:
        message = (
            f"{name(one)}: job {maker.name} makes {recipe.model.path} of {recipe.model.repo}; the hub has only that"
        )
        raise InputError(message, hint=f"sparkctl job run {maker.name}")


def name(one: Located) -> str:
    """Return what the operator calls it."""
    return one.member.service


def _download(world: World, one: Located, source: Source) -> None:
    recipe = one.loaded.recipe
    cache = world.operator.hub(recipe.cache)
    where = source.folder or cache
    _refuse_full(world, one, source, where)
    world.report.say(f"{name(one)}: downloading {source.repo}{_size(world, one, source)} to {where}")
    revision = recipe.model.revision if source is one.model else None
    world.hub.download(source.repo, revision, folder=source.folder, cache=cache)


def _check(world: World, one: Located, source: Source) -> None:
    """Refuse a model that is not whole after its download: the hub's library takes what it has where no hub answers.

    Raises:
        InputError: a file is missing, or is not whole.
    """
    recipe, models = one.loaded.recipe, world.disk_models
    if source.folder is not None:
        found = models.folder_problem(source.folder)
        problem = found and f"{source.folder} {found}"
    else:
        revision = recipe.model.revision if source is one.model else None
        found = models.cache_problem(world.operator.hub(recipe.cache), source.repo, revision)
        problem = found and f"{source.repo} {found}"
    if problem is not None:
        message = f"{name(one)}: the download ended, and {problem}"
        hint = "was the hub there? try again; a file that is not whole has to be removed first"
        raise InputError(message, hint=hint)


def refuse_damaged(located: Sequence[Located]) -> None:
    """Refuse models of which a part is here: also a simulated Spark, which has every other one, names them.

    Raises:
        InputError: what is missing or not whole.
    """
    damaged = [(name(one), source.missing) for one in located for source in one.missing if source.damaged]
    if damaged:
        commands = "    ".join(f"sparkctl --engine docker download {of}" for of, _ in damaged)
        raise InputError("\n".join(f"{of}: {missing}" for of, missing in damaged), hint=commands)


def require_files(loader: Loader, located: Sequence[Located]) -> None:
    """Refuse recipes whose containers would mount what is not on this host.

    Raises:
        InputError: each of them, at the line that names it.
    """
    absent = dict.fromkeys(str(problem) for one in located for problem in loader.host_side(one).missing)
    if absent:
        raise InputError("\n".join(absent))


def _refuse_full(world: World, one: Located, source: Source, where: Path) -> None:
    """Refuse a download for which the disk has no room, where its size is known.

    Raises:
        InputError: with both sizes.
    """
    size, free = _known_bytes(world, one, source), world.host.disk_free_bytes(where)
    if size is not None and free is not None and size > free:
        sizes = f"{units.format_bytes(size)}, and {units.format_bytes(free)} are free at {where}"
        raise InputError(f"{name(one)}: no room for {source.repo}: {sizes}", hint="remove models that you do not use")


def _known_bytes(world: World, one: Located, source: Source) -> int | None:
    """Return what a repository's weights take on disk: as model facts have it, or the hub said before."""
    model, speculative = one.loaded.recipe.model, one.loaded.recipe.speculative
    named = model.facts if source is one.model else speculative and speculative.facts
    sheet = named or world.catalog.facts_by_repo().get(source.repo)
    facts = known_model(world.catalog, sheet).facts if sheet else None
    known = facts.checkpoints if facts else []
    sizes = [checkpoint.size for checkpoint in known if checkpoint.repo == source.repo and checkpoint.size]
    if sizes:
        return sizes[0]
    said = hub_models.known(world, source.repo, model.revision if source is one.model else None)
    return sum(tensor.bytes for tensor in said.facts.tensors) or None if said else None


def _size(world: World, one: Located, source: Source) -> str:
    """Return what is known of the download's size and the disk's room, for a message."""
    known = _known_bytes(world, one, source)
    size = f"about {units.format_bytes(known)}" if known is not None else "of unknown size"
    free = world.host.disk_free_bytes(source.folder or world.operator.hub(one.loaded.recipe.cache))
    return f" ({size}; {units.format_bytes(free)} free on the disk)" if free is not None else f" ({size})"
