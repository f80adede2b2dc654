"""``sparkctl verify-mods``: every mod on disk, in the image, in the running container."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl import mods, observing, verification
from sparkctl.cli.options import as_json
from sparkctl.container import LABEL_MODS
from sparkctl.errors import InputError, ModError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.world import World
    from sparkctl.verification import Reading, Verdict


@click.command
@click.argument("names", nargs=-1, metavar="[NAME...]")
@as_json
@click.pass_obj
def command(world: World, names: tuple[str, ...], *, as_json: bool) -> None:
    """Check every mod in three places: its source on disk, the file it covers in the image, the running container.

    Services that run and recipes that do not; all that have mods when none is named. Exits 6 unless all hold.
    """
    world.refuse_elsewhere()
    verdicts = [verdict for name in _wanted(world, names) for verdict in _verify(world, name)]
    if as_json:
        world.out.json([_row(verdict) for verdict in verdicts])
    elif verdicts:
        headers = ["service", "mod", "file", "host", "image", "container", "verdict"]
        world.out.table(headers, [_cells(verdict) for verdict in verdicts])
    else:
        world.out.say("no mods to verify")
    for reason in dict.fromkeys(reason for verdict in verdicts for reason in verdict.reasons):
        world.out.warn(reason)
    lost = sum(not verdict.holds for verdict in verdicts)
    if lost:
        raise ModError(f"{lost} of {len(verdicts)} files do not hold")


def _wanted(world: World, names: Sequence[str]) -> list[str]:
    """Return the services to verify: those named, else all that are deployed and all recipes that have mods."""
    deployed = observing.names(world.engine)
    if names:
        return world.service_names(names)
    recipes = [entry.name for entry in world.catalog.recipes() if world.catalog.recipe(entry.name).recipe.mods]
    return list(dict.fromkeys([*deployed, *recipes]))


def _verify(world: World, name: str) -> list[Verdict]:
    """Return the verdicts of one name: by its recipe where there is one, else by what its container says of itself."""
    container = observing.find(world.engine, name)
    if world.catalog.knows(name):
        loader = world.loader(world.ports.models)
        services = loader.services(loader.located([name], (), strict=False))
        return [
            verdict
            for service in services
            for verdict in verification.verify(world.engine, service.name, service.spec.image, service.mods)
        ]
    if container is None:
        message = f"no service {name} is deployed, and no recipe has this name"
        raise InputError(message, hint="sparkctl ps lists the services, sparkctl recipes the recipes")
    declared = mods.from_label(container.labels.get(LABEL_MODS, ""))
    return verification.verify(world.engine, name, container.image, declared)


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


def _cells(verdict: Verdict) -> list[str]:
    def cell(reading: Reading) -> str:
        return str(reading.state)

    mod = verdict.mod
    return [
        verdict.service,
        mod.mod,
        mod.name,
        cell(verdict.host),
        cell(verdict.image),
        cell(verdict.container),
        verdict.word,
    ]
