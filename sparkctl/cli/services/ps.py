"""``sparkctl ps``: the services and whether they are ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base import units
from sparkctl.cli.options import as_json
from sparkctl.operations.status.services import services

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.operations.status.services import ServiceNow


@click.command
@as_json
@click.pass_obj
def command(session: Session, *, as_json: bool) -> None:
    """List the services, whether they are ready, and what they hold of the memory."""
    found = services(session.world)
    if as_json:
        session.out.json([_row(service) for service in found])
    elif not found:
        session.out.say("nothing is deployed; `sparkctl recipes` lists what can be")
    else:
        headers = ["service", "recipe", "state", "ready", "doing", "url", "claim", "image", "mods"]
        session.out.table(headers, [_cells(service) for service in found])


def _row(service: ServiceNow) -> dict[str, object]:
    deployed = service.deployed
    return {
        "name": service.name,
        "recipe": deployed.recipe,
        "state": deployed.container.state,
        "ready": service.ready,
        "doing": service.doing,
        "url": service.url,
        "claim_bytes": deployed.claim_bytes,
        "image": deployed.container.image,
        "mods": list(deployed.mods),
    }


def _cells(service: ServiceNow) -> list[str]:
    deployed = service.deployed
    return [
        service.name,
        deployed.recipe,
        deployed.container.state,
        {True: "yes", False: "no", None: "unknown"}[service.ready],
        f"{service.doing or 'unknown'}{f' ({service.why})' if service.why else ''}",
        service.url,
        units.format_gib(deployed.claim_bytes),
        deployed.container.image,
        " ".join(deployed.mods) or "-",
    ]
