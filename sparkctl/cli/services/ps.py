"""``sparkctl ps``: the services and whether they are ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base import units
from sparkctl.cli.options import as_json
from sparkctl.operations.status import liveness, look
from sparkctl.operations.status.liveness import Life

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.operations.deployed import Deployed


@click.command
@as_json
@click.pass_obj
def command(session: Session, *, as_json: bool) -> None:
    """List the services, whether they are ready, and what they hold of the memory."""
    deployed = session.world.deployed()
    doing = {service.name: _doing(session, service) for service in deployed}
    if as_json:
        session.out.json([_row(service, doing[service.name]) for service in deployed])
    elif not deployed:
        session.out.say("nothing is deployed; `sparkctl recipes` lists what can be")
    else:
        headers = ["service", "recipe", "state", "ready", "doing", "url", "claim", "image", "mods"]
        session.out.table(headers, [_cells(service, doing[service.name]) for service in deployed])


def _doing(session: Session, service: Deployed) -> tuple[str | None, str]:
    """Return what a service does and why, by one look: a stuck one needs two (`sparkctl status`)."""
    if service.ready is None:
        return None, ""
    seen = look.look(session.world.ports, service.name, session.world.api_key)
    return liveness.judge(seen, seen)


def _ready(service: Deployed, doing: str | None) -> bool | None:
    """Return whether it is ready: one whose scheduler works is, even where it was too busy for a question."""
    return True if doing == Life.BUSY else service.ready


def _row(service: Deployed, doing: tuple[str | None, str]) -> dict[str, object]:
    return {
        "name": service.name,
        "recipe": service.recipe,
        "state": service.container.state,
        "ready": _ready(service, doing[0]),
        "doing": doing[0],
        "url": service.url,
        "claim_bytes": service.claim_bytes,
        "image": service.container.image,
        "mods": list(service.mods),
    }


def _cells(service: Deployed, doing: tuple[str | None, str]) -> list[str]:
    ready = {True: "yes", False: "no", None: "unknown"}[_ready(service, doing[0])]
    return [
        service.name,
        service.recipe,
        service.container.state,
        ready,
        f"{doing[0] or 'unknown'}{f' ({doing[1]})' if doing[1] else ''}",
        service.url,
        units.format_gib(service.claim_bytes),
        service.container.image,
        " ".join(service.mods) or "-",
    ]
