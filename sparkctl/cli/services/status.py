"""``sparkctl status``: what a service does now: alive, busy or stuck, and how fast."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from sparkctl.base import units
from sparkctl.base.errors import InputError, NotReadyError
from sparkctl.cli.options import as_json
from sparkctl.operations.status import services
from sparkctl.operations.status.liveness import Life
from sparkctl.operations.status.services import laid_over, made_from

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.operations.status.services import ServiceStatus


@click.command
@click.argument("name")
@as_json
@click.option("--watch", is_flag=True, help="Go on, a line at each look.")
@click.option("--every", default="2s", show_default=True, metavar="TIME", help="How often --watch looks.")
@click.pass_obj
def command(session: Session, name: str, *, as_json: bool, watch: bool, every: str) -> None:
    """Show what a service does: ready, busy, starting, stuck, failing, dead or unknown, and how fast it is.

    By its scheduler's own counters, which a busy server answers too. Exits 5 when it is none of the first three.
    """
    seconds = units.parse_duration(every)
    if seconds <= 0:
        raise InputError(f"--every {every}: expected more than 0s", hint="such as 2s or 1m")
    if watch:
        _watch(session, name, seconds, as_json=as_json)
        return
    with session.out.reporting():
        found = services.status(session.world, name)
    row = _row(name, found)
    if as_json:
        session.out.json(row)
    else:
        _show(session, found, row)
    if not found.well:
        raise NotReadyError(
            f"{name} is {found.state}: {found.why}", hint=found.fix or f"sparkctl logs {name} --tail 50"
        )


def _watch(session: Session, name: str, every_s: float, *, as_json: bool) -> None:
    """Print a line at each look until the operator has seen enough."""
    for found in services.watch(session.world, name, every_s):
        row, now = _row(name, found), datetime.now().astimezone().isoformat(timespec="seconds")
        session.out.json({"at": now, **row}, None) if as_json else session.out.result(f"{now}  {_line(row)}")


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
        "memory_bytes": service.resident_bytes if service is not None else None,
        "claim_bytes": record.claim_bytes,
        "acceptance": {"overall": drafting.overall, "positions": list(drafting.positions), "drafted": drafting.drafted}
        if drafting is not None
        else None,
        "changed": list(found.changed),
        "unknown": list(record.damaged),
    }


def _line(row: dict[str, object]) -> str:
    parts = [f"{row['state']}", f"{_count(row['running'])} running", f"{_count(row['waiting'])} waiting"]
    parts += [f"{_tokens(row['generated_per_second'])} tok/s", f"KV cache {_share(row['kv_usage'])}"]
    return "  ".join([*parts, str(row["why"]) if row["state"] not in {Life.READY, Life.BUSY} else ""]).rstrip()


def _show(session: Session, found: ServiceStatus, row: dict[str, object]) -> None:
    acceptance = row["acceptance"]
    shown = {
        "state": ": ".join(filter(None, [str(row["state"]), str(row["why"])])),
        "recipe": made_from(found.record),
        "url": row["url"] or "unknown",
        "requests": f"{_count(row['running'])} running, {_count(row['waiting'])} waiting",
        "tokens per second": f"{_tokens(row['generated_per_second'])}, {_tokens(row['prompt_per_second'])} of prompts",
        "KV cache": f"{_share(row['kv_usage'])} in use, {_count(row['preemptions'])} preemptions",
        "prefix cache": f"{_share(row['prefix_hit_rate'])} hits",
        "memory": f"{_size(row['memory_bytes'])} of a claim of {_size(row['claim_bytes'])}",
    }
    if isinstance(acceptance, dict):
        shares = " ".join(_share(share) for share in acceptance["positions"])
        shown["acceptance"] = (
            f"{shares or _share(acceptance['overall'])} of {_count(acceptance['drafted'])} drafted tokens"
        )
    width = max(map(len, shown))
    for key, value in shown.items():
        session.out.result(f"{key:{width}}  {value}")
    for line in found.doubts:
        session.out.warn(line)


def _count(value: object) -> str:
    return f"{value:,.0f}" if isinstance(value, int | float) else "?"


def _tokens(value: object) -> str:
    return f"{value:,.1f}" if isinstance(value, int | float) else "?"


def _share(value: object) -> str:
    return f"{100 * value:.0f} %" if isinstance(value, int | float) else "?"


def _size(value: object) -> str:
    return units.format_gib(value) if isinstance(value, int) else "unknown"
