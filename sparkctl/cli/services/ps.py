"""``sparkctl ps``: the services and whether they are ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base import units
from sparkctl.cli.options import as_json
from sparkctl.operations.status.services import laid_over, made_from, services

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
        headers = ["service", "state", "ready", "doing", "url", "claim", "recipe", "image", "mods"]
        session.out.table(headers, [_cells(service) for service in found])
        for service in found:
            for line in filter(None, [service.aside, *service.doubts]):
                session.out.warn(f"{service.deployed.container.name}: {line}")


def _row(service: ServiceNow) -> dict[str, object]:
    deployed, record = service.deployed, service.deployed.record
    return {
        "name": service.name,
        "container": deployed.container.name,
        "recipe": record.recipe,
        "stack": record.laid_over.stack if record.laid_over is not None else None,
        "overrides": laid_over(record),
        "state": deployed.container.state,
        "ready": service.ready,
        "doing": service.doing,
        "url": record.url,
        "served_names": _listed(record.served_names),
        "claim_bytes": record.claim_bytes,
        "image": deployed.container.image,
        "mods": _listed(record.mod_names),
        "changed": list(service.changed),
        "unknown": list(record.damaged),
        "aside": service.aside or None,
    }


def _listed(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)


def _claim(service: ServiceNow) -> str:
    """Return its claim, and what of it is on which GPU with its own memory."""
    record = service.deployed.record
    if record.claim_bytes is None:
        return "unknown"
    whole = units.format_gib(record.claim_bytes)
    if record.gpu_claim_bytes is None or not service.deployed.cards:
        return whole
    names = ", ".join(card.words for card in service.deployed.cards)
    return f"{whole}, {units.format_gib(record.gpu_claim_bytes)} of it on {names}"


def _cells(service: ServiceNow) -> list[str]:
    deployed, record = service.deployed, service.deployed.record
    mods = record.mod_names
    return [
        f"{service.name} ({deployed.container.name})" if deployed.set_aside else service.name,
        deployed.container.state,
        {True: "yes", False: "no", None: "unknown"}[service.ready],
        f"{service.doing or 'unknown'}{f' ({service.why})' if service.why else ''}",
        record.url or "unknown",
        _claim(service),
        made_from(record),
        deployed.container.image,
        "unknown" if mods is None else " ".join(mods) or "-",
    ]
