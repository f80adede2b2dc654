"""``sparkctl verify-mods``: every mod on disk, in the image, in the running container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from sparkctl import deployment, mods, observing, verification
from sparkctl.cli.options import as_json
from sparkctl.container import LABEL_MODS, LABEL_RECIPE
from sparkctl.errors import InputError, ModError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.world import World
    from sparkctl.mods import MountedMod
    from sparkctl.ports import Container
    from sparkctl.verification import Verdict

_COLUMNS: Final = ("service", "mod", "file", "host", "image", "container", "verdict")


@click.command
@click.argument("names", nargs=-1, metavar="[NAME...]")
@as_json
@click.pass_obj
def command(world: World, names: tuple[str, ...], *, as_json: bool) -> None:
    """Check every mod in three places: its source on disk, the file it covers in the image, the running container.

    Services that run and recipes that do not; all that have mods when none is named. Exits 6 unless all hold.
    """
    world.refuse_elsewhere()
    verdicts = _verdicts(world, names)
    if as_json:
        world.out.json([_row(verdict) for verdict in verdicts])
    elif verdicts:
        rows = [_row(verdict) for verdict in verdicts]
        world.out.table(_COLUMNS, [[str(row[column]) for column in _COLUMNS] for row in rows])
    else:
        world.out.say("no mods to verify")
    for reason in dict.fromkeys(reason for verdict in verdicts for reason in verdict.reasons):
        world.out.warn(reason)
    lost = sum(not verdict.holds for verdict in verdicts)
    if lost:
        raise ModError(f"{lost} of {len(verdicts)} files do not hold")


def _verdicts(world: World, names: Sequence[str]) -> list[Verdict]:
    """Return the verdicts of what is named, else of all that is deployed and all recipes that have mods."""
    found = [verdict for name in names for verdict in _verify(world, name)] if names else _all_verdicts(world)
    return list({(verdict.service, verdict.mod.target): verdict for verdict in found}.values())


def _all_verdicts(world: World) -> list[Verdict]:
    """Return all verdicts; a recipe that cannot be used is told, and must not hide what the others are.

    What such a recipe's container runs is still checked, by its label.
    """
    found: list[Verdict] = []
    deployed = observing.names(world.engine)
    for name in dict.fromkeys([*deployed, *(entry.name for entry in world.catalog.recipes())]):
        try:
            if name in deployed or world.catalog.recipe(name).recipe.mods:
                found += _verify(world, name)
        except InputError as error:
            world.out.warn(f"{name} is not verified by its recipe, which cannot be used: {error.message}")
            found += _by_label(world, name) if name in deployed else []
    return found


def _verify(world: World, name: str) -> list[Verdict]:
    """Return the verdicts of one name: by its recipe or stack where there is one, else by its container's label."""
    if not world.catalog.knows(name):
        return _by_label(world, name)
    loader = world.loader(world.ports.models)
    located = loader.located([name], (), strict=False)
    services = loader.services(located)
    for misfit in (misfit for one in located for misfit in deployment.misfits(world.catalog, one.loaded)):
        world.out.warn(str(misfit))
    found = []
    for service in services:
        container = observing.find(world.engine, service.name)
        image = container.image if container is not None else service.spec.image
        found += verification.verify(world.engine, service.name, image, service.mods)
    return found


def _by_label(world: World, name: str) -> list[Verdict]:
    """Return the verdicts of a deployed service by what its container says of itself."""
    container = observing.find(world.engine, name)
    if container is None:
        message = f"no service {name} is deployed, and no recipe has this name"
        raise InputError(message, hint="sparkctl ps lists the services, sparkctl recipes the recipes")
    declared = mods.from_label(container.labels.get(LABEL_MODS, ""))
    known = {(mod.mod, mod.target): mod for mod in _of_recipe(world, name, container)}
    found = [known.get((mod.mod, mod.target), mod) for mod in declared]
    return verification.verify(world.engine, name, container.image, found)


def _of_recipe(world: World, name: str, container: Container) -> tuple[MountedMod, ...]:
    """Return the mods of the recipe that a stack's container was made from; () when it is gone or cannot be used."""
    recipe = container.labels.get(LABEL_RECIPE, "")
    if recipe == name or recipe not in {entry.name for entry in world.catalog.recipes()}:
        return ()
    try:
        loader = world.loader(world.ports.models)
        (service,) = loader.services(loader.located([recipe], (), strict=False))
    except InputError as error:
        world.out.warn(f"{name} is verified by its label alone: {recipe} cannot be used: {error.message}")
        return ()
    return service.mods


def _row(verdict: Verdict) -> dict[str, object]:
    return {
        "service": verdict.service,
        "mod": verdict.mod.mod,
        "file": verdict.mod.name,
        "host": verdict.host.state,
        "image": verdict.image.state,
        "container": verdict.container.state,
        "md5": verdict.mod.md5,
        "verdict": verdict.word,
    }
