"""``sparkctl ps``: the services and whether they are ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from sparkctl.base import units
from sparkctl.base.errors import EngineError
from sparkctl.cli.options import as_json
from sparkctl.cli.services.ps_rows import rows
from sparkctl.operations.groups.shown import doubts, elsewhere, rank_words
from sparkctl.operations.hosts.services import everywhere, on_host
from sparkctl.operations.stack.standing import words
from sparkctl.operations.status.services import made_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cli.session import Session
    from sparkctl.operations.deployed import OnCard
    from sparkctl.operations.hosts.services import OnHost
    from sparkctl.operations.jobs.memory.running import RunningJob
    from sparkctl.operations.status.services import ServiceNow
    from sparkctl.planning.agent.observation import Standing
    from sparkctl.world.labels import ServiceLabels


_HEADERS: Final = ["service", "state", "ready", "doing", "url", "claim", "recipe", "image", "mods"]


@click.command
@click.option("--all-hosts", is_flag=True, help="On every host of hosts.yaml, all asked at once.")
@as_json
@click.pass_obj
def command(session: Session, *, all_hosts: bool, as_json: bool) -> None:
    """List the services, whether they are ready, and what they hold of the memory; and the jobs that run."""
    if all_hosts:
        _all_hosts(session, as_json=as_json)
        return
    found = on_host(session.world)
    if as_json:
        session.out.json(rows(found))
    elif not any(found):
        session.out.say("nothing is deployed; `sparkctl recipes` lists what can be")
    else:
        session.out.table(_HEADERS, _lines(found))
        _warn(session, found)
    for line in elsewhere(session.world):
        session.out.say(line)


def _all_hosts(session: Session, *, as_json: bool) -> None:
    """Show the services of all hosts; a host that did not answer is named, and its services are not known."""
    answers = everywhere(session.world)
    session.out.simulated = session.world.simulated and any(one.here for one in answers)
    if as_json:
        found = [{"host": one.name, **row} for one in answers if one.answer is not None for row in rows(one.answer)]
        session.out.json(found)
    else:
        lines = [[one.name, *line] for one in answers if one.answer is not None for line in _lines(one.answer)]
        session.out.table(["host", *_HEADERS], lines)
    for one in answers:
        if one.error is not None:
            session.out.warn(one.error.message + (f" → {one.error.hint}" if one.error.hint else ""))
        elif one.answer is not None:
            _warn(session, one.answer, f"{one.name}: ")
    for line in doubts(session.world, answers):
        session.out.warn(line)
    if any(one.error is not None for one in answers):
        names = ", ".join(one.name for one in answers if one.error is not None)
        raise EngineError(f"not known what runs on {names}")


def _lines(found: OnHost) -> list[list[str]]:
    of_services = [*(_cells(service) for service in found.services), *(_absent_cells(*one) for one in found.absent)]
    return [*of_services, *(_job_cells(job) for job in found.jobs)]


def _warn(session: Session, found: OnHost, of: str = "") -> None:
    for service in found.services:
        for line in filter(None, [service.aside, *service.doubts]):
            session.out.warn(f"{of}{service.deployed.container.name}: {line}")
    for job in found.jobs:
        for line in job.damaged:
            session.out.warn(f"{of}{job.container.name}: {line}")


def _claim(record: ServiceLabels, cards: Sequence[OnCard]) -> str:
    """Return a claim, and its parts on GPUs with their own memory."""
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
        record.url or ("-" if record.group is not None else "unknown"),
        _claim(record, deployed.cards),
        made_from(record),
        deployed.container.image,
        "unknown" if mods is None else " ".join(mods) or "-",
    ]


def _doing(service: ServiceNow) -> str:
    doing = f"{service.doing or 'unknown'}{f' ({service.why})' if service.why else ''}"
    standing = "" if service.standing is None else words(service.standing)
    return "; ".join(filter(None, [*rank_words(service.record, doing), standing]))


def _absent_cells(name: str, standing: Standing) -> list[str]:
    return [name, "-", "no", words(standing), "-", "-", "-", "-", "-"]


def _job_cells(job: RunningJob) -> list[str]:
    makes = "" if job.record is None else f", makes {job.record.output}"
    claim = _claim(job.claim, job.cards)
    return [job.name, job.container.state, "-", f"job{makes}", "-", claim, "-", job.container.image, "-"]
