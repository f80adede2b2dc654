"""``sparkctl ps``: the services and whether they are ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base import units
from sparkctl.cli.options import as_json
from sparkctl.cli.services.ps_rows import absent_row, job_row, service_row
from sparkctl.operations.jobs.memory.running import jobs_now
from sparkctl.operations.stack.standing import words
from sparkctl.operations.status.services import absent, made_from, services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.session import Session
    from sparkctl.operations.deployed import OnCard
    from sparkctl.operations.jobs.memory.running import RunningJob
    from sparkctl.operations.status.services import ServiceNow
    from sparkctl.planning.agent.seen import Standing
    from sparkctl.world.labels import ServiceLabels


@click.command
@as_json
@click.pass_obj
def command(session: Session, *, as_json: bool) -> None:
    """List the services, whether they are ready, and what they hold of the memory; and the jobs that run."""
    found, jobs = services(session.world), jobs_now(session.world)
    gone = absent(session.world, found)
    if as_json:
        rows = [
            *(service_row(service) for service in found),
            *(absent_row(*one) for one in gone),
            *(job_row(job) for job in jobs),
        ]
        session.out.json(rows)
    elif not found and not jobs and not gone:
        session.out.say("nothing is deployed; `sparkctl recipes` lists what can be")
    else:
        headers = ["service", "state", "ready", "doing", "url", "claim", "recipe", "image", "mods"]
        rows_of_services = [*(_cells(service) for service in found), *(_absent_cells(*one) for one in gone)]
        session.out.table(headers, [*rows_of_services, *(_job_cells(job) for job in jobs)])
        for service in found:
            for line in filter(None, [service.aside, *service.doubts]):
                session.out.warn(f"{service.deployed.container.name}: {line}")
        for job in jobs:
            for line in job.damaged:
                session.out.warn(f"{job.container.name}: {line}")


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
        _doing(service),
        record.url or "unknown",
        _claim(record, deployed.cards),
        made_from(record),
        deployed.container.image,
        "unknown" if mods is None else " ".join(mods) or "-",
    ]


def _doing(service: ServiceNow) -> str:
    doing = f"{service.doing or 'unknown'}{f' ({service.why})' if service.why else ''}"
    return doing if service.standing is None else f"{doing}; {words(service.standing)}"


def _absent_cells(name: str, standing: Standing) -> list[str]:
    return [name, "-", "no", words(standing), "-", "-", "-", "-", "-"]


def _job_cells(job: RunningJob) -> list[str]:
    makes = "" if job.record is None else f", makes {job.record.output}"
    claim = _claim(job.claim, job.cards)
    return [job.name, job.container.state, "-", f"job{makes}", "-", claim, "-", job.container.image, "-"]
