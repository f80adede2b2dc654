"""``sparkctl ps``: the services and whether they are ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl import units
from sparkctl.cli.options import as_json

if TYPE_CHECKING:
    from sparkctl.cli.world import World
    from sparkctl.observing import Deployed


@click.command
@as_json
@click.pass_obj
def command(world: World, *, as_json: bool) -> None:
    """List the services, whether they are ready, and what they hold of the memory."""
    deployed = world.deployed()
    if as_json:
        world.out.json([_row(service) for service in deployed])
    elif not deployed:
        world.out.say("nothing is deployed; `sparkctl recipes` lists what can be")
    else:
        headers = ["service", "recipe", "state", "ready", "url", "claim", "image", "mods"]
        world.out.table(headers, [_cells(service) for service in deployed])


def _row(service: Deployed) -> dict[str, object]:
    return {
        "name": service.name,
        "recipe": service.recipe,
        "state": service.container.state,
        "ready": service.ready,
        "url": service.url,
        "claim_bytes": service.claim_bytes,
        "image": service.container.image,
        "mods": list(service.mods),
    }


def _cells(service: Deployed) -> list[str]:
    ready = {True: "yes", False: "no", None: "unknown"}[service.ready]
    return [
        service.name,
        service.recipe,
        service.container.state,
        ready,
        service.url,
        units.format_gib(service.claim_bytes),
        service.container.image,
        " ".join(service.mods) or "-",
    ]
