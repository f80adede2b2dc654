"""``sparkctl ps``: the services and whether they are ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base import units
from sparkctl.cli.options import as_json
from sparkctl.operations.jobs.memory.running import jobs_now
from sparkctl.operations.status.services import laid_over, made_from, services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.session import Session
    from sparkctl.operations.deployed import OnCard
    from sparkctl.operations.jobs.memory.running import RunningJob
    from sparkctl.operations.status.services import ServiceNow
    from sparkctl.world.labels import ServiceLabels


@click.command
@as_json
@click.pass_obj
def command(session: Session, *, as_json: bool) -> None:
    """List the services, whether they are ready, and what they hold of the memory; and the jobs that run."""
    found, jobs = services(session.world), jobs_now(session.world)
    if as_json:
        session.out.json([*(_row(service) for service in found), *(_job_row(job) for job in jobs)])
    elif not found and not jobs:
        session.out.say("nothing is deployed; `sparkctl recipes` lists what can be")
    else:
        headers = ["service", "state", "ready", "doing", "url", "claim", "recipe", "image", "mods"]
        session.out.table(headers, [*(_cells(service) for service in found), *(_job_cells(job) for job in jobs)])
        for service in found:
            for line in filter(None, [service.aside, *service.doubts]):
                session.out.warn(f"{service.deployed.container.name}: {line}")
        for job in jobs:
            for line in job.damaged:
                session.out.warn(f"{job.container.name}: {line}")


def _row(service: ServiceNow) -> dict[str, object]:
    deployed, record = service.deployed, service.deployed.record
    return {
        "kind": "service",
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


def _job_row(job: RunningJob) -> dict[str, object]:
    """Return a job as a row of services has it: what only a server has is null."""
    only_servers = dict.fromkeys(["recipe", "stack", "ready", "doing", "url", "served_names", "mods"])
    return {
        "kind": "job",
        **only_servers,
        "name": job.name,
        "container": job.container.name,
        "overrides": job.overrides,
        "state": job.container.state,
        "claim_bytes": job.claim.claim_bytes,
        "image": job.container.image,
        "changed": [],
        "unknown": list(job.damaged),
        "aside": None,
    }


def _listed(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)


def _claim(record: ServiceLabels, cards: Sequence[OnCard]) -> str:
    """Return a claim, and what of it is on which GPU with its own memory."""
    if record.claim_bytes is None:
        return "unknown"
    whole = units.format_gib(record.claim_bytes)
    if record.gpu_claim_bytes is None or not cards:
        return whole
    names = ", ".join(card.words for card in cards)
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
        _claim(record, deployed.cards),
        made_from(record),
        deployed.container.image,
        "unknown" if mods is None else " ".join(mods) or "-",
    ]


def _job_cells(job: RunningJob) -> list[str]:
    makes = "" if job.record is None else f", makes {job.record.output}"
    claim = _claim(job.claim, job.cards)
    return [job.name, job.container.state, "-", f"job{makes}", "-", claim, "-", job.container.image, "-"]
