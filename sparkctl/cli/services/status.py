"""``sparkctl status``: what a service does now: alive, busy or stuck, and how fast."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from sparkctl.base import units
from sparkctl.base.errors import InputError, NotReadyError
from sparkctl.cli.options import as_json, everything, refuse_none_or_both, several
from sparkctl.cli.services import status_lines
from sparkctl.cli.services.ps_rows import standing_row
from sparkctl.operations.services import named_services
from sparkctl.operations.status.services import laid_over

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.cli.session import Session
    from sparkctl.operations.status.services import ServiceStatus


@click.command
@several
@everything
@as_json
@click.option("--watch", is_flag=True, help="Go on, a line at each look.")
@click.option("--every", default="2s", show_default=True, metavar="TIME", help="How often --watch looks.")
@click.pass_obj
def command(
    session: Session, names: tuple[str, ...], *, everything: bool, as_json: bool, watch: bool, every: str
) -> None:
    """Show what services do: ready, busy, starting, stuck, failing, dead or unknown, and how fast they are.

    By their schedulers' own counters, which a busy server answers too. Exits 5 when one is none of the first three.
    """
    seconds = units.parse_duration(every)
    if seconds <= 0:
        raise InputError(f"--every {every}: expected more than 0s", hint="such as 2s or 1m")
    refuse_none_or_both(names, everything=everything)
    if watch:
        _show_each(session, named_services.watch(session.world, names, seconds, everything=everything), as_json=as_json)
        return
    with session.out.reporting():
        found = named_services.statuses(session.world, names, everything=everything)
    rows = {name: _row(name, status) for name, status in found.items()}
    if as_json:
        one = len(session.world.service_names(names, rows)) == 1  # a stack is a list, however many of it are there
        session.out.json(next(iter(rows.values())) if one else list(rows.values()))
    else:
        for name, status in found.items():
            status_lines.show(session.out, status, {"service": name} if len(found) > 1 else {}, rows[name])
    ill = {name: status for name, status in found.items() if not status.well}
    if ill:
        told = "\n".join(f"{name} is {status.state}: {status.why}" for name, status in ill.items())
        name, first = next(iter(ill.items()))
        raise NotReadyError(told, hint=first.fix or f"sparkctl logs {name} --tail 50")


def _show_each(session: Session, looks: Iterator[tuple[str, ServiceStatus]], *, as_json: bool) -> None:
    """Print a line at each look until the operator has seen enough."""
    for name, found in looks:
        row, now = _row(name, found), datetime.now().astimezone().isoformat(timespec="seconds")
        session.out.json({"at": now, **row}, None) if as_json else session.out.result(
            f"{now}  {status_lines.line(row)}"
        )


def _row(name: str, found: ServiceStatus) -> dict[str, object]:
    service, drafting = found.deployed, found.metrics.drafting
    record = found.record
    return {
        "name": name,
        "recipe": record.recipe,
        "overrides": laid_over(record),
        "state": found.state,
        "why": found.why,
        "url": record.url,
        "running": found.metrics.running,
        "waiting": found.metrics.waiting,
        "generated_per_second": found.rates.generated,
        "prompt_per_second": found.rates.prompt,
        "kv_usage": found.metrics.kv_usage,
        "prefix_hit_rate": found.metrics.prefix_hit_rate,
        "preemptions": found.metrics.preemptions,
        "memory_bytes": service.memory_bytes if service is not None else None,
        "cards": [{"gpu": card.words, "bytes": card.bytes} for card in service.cards] if service is not None else [],
        "claim_bytes": record.claim_bytes,
        "acceptance": {"overall": drafting.overall, "positions": list(drafting.positions), "drafted": drafting.drafted}
        if drafting is not None
        else None,
        "changed": list(found.changed),
        "unknown": list(record.damaged),
        "standing": standing_row(found.standing),
    }
