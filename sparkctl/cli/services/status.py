"""``sparkctl status``: what a service does now: alive, busy or stuck, and how fast."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Final

import click

from sparkctl.base import units
from sparkctl.base.errors import InputError, NotReadyError
from sparkctl.cli.options import as_json
from sparkctl.operations.status import liveness, look
from sparkctl.operations.status.liveness import Life
from sparkctl.vllm import metrics

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.operations.deployed import Deployed
    from sparkctl.operations.status.liveness import Look, Rates
    from sparkctl.vllm.metrics import Metrics

_LOOK_S: Final = 1.0
_WELL: Final = frozenset({Life.READY, Life.BUSY, Life.STARTING})


@click.command
@click.argument("name")
@as_json
@click.option("--watch", is_flag=True, help="Go on, a line at each look.")
@click.option("--every", default="2s", show_default=True, metavar="TIME", help="How often --watch looks.")
@click.pass_obj
def command(session: Session, name: str, *, as_json: bool, watch: bool, every: str) -> None:
    """Show what a service does: starting, ready, busy, stuck, failing or dead, and how fast it is.

    By its scheduler's own counters, which a busy server answers too. Exits 5 when it is stuck, failing or dead.
    """
    session.world.refuse_elsewhere()
    seconds = units.parse_duration(every)
    if seconds <= 0:
        raise InputError(f"--every {every}: expected more than 0s", hint="such as 2s or 1m")
    if watch:
        _watch(session, name, seconds, as_json=as_json)
        return
    first, last = _looks(session, name)
    row = _row(_deployed(session, name), first, last)
    if as_json:
        session.out.json(row)
    else:
        _show(session, row)
    if row["state"] not in _WELL:
        raise NotReadyError(f"{name} is {row['state']}: {row['why']}", hint=f"sparkctl logs {name} --tail 50")


def _deployed(session: Session, name: str) -> Deployed | None:
    return next((one for one in session.world.deployed() if one.name == name), None)


def _looks(session: Session, name: str) -> tuple[Look, Look]:
    """Look twice, and as long as a slow service cannot be told from a stuck one."""
    first = look.look(session.world.ports, name, session.world.api_key)
    if first.container is None and _deployed(session, name) is None:
        message = f"no service {name} is deployed"
        raise InputError(message, hint="sparkctl ps lists the services")
    last = first
    with session.out.reporting():
        while last is first or liveness.doubtful(first, last):
            if last is not first:
                waited = units.format_duration(last.at - first.at)
                session.out.progress(name, "looking for an answer, or a step of its scheduler", waited)
            session.world.ports.clock.sleep(_LOOK_S)
            last = look.look(session.world.ports, name, session.world.api_key)
    return first, last


def _watch(session: Session, name: str, every_s: float, *, as_json: bool) -> None:
    """Print a line at each look until the operator has seen enough; what stands still is judged over all that time."""
    first, last = _looks(session, name)
    since = first
    while True:
        row = _row(_deployed(session, name), since, last, rates=liveness.rates(first, last))
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        session.out.raw(json.dumps({"at": now, **row})) if as_json else session.out.result(f"{now}  {_line(row)}")
        session.world.ports.clock.sleep(every_s)
        since = since if liveness.doubtful(first, last) else last
        first, last = last, look.look(session.world.ports, name, session.world.api_key)


def _row(service: Deployed | None, first: Look, last: Look, rates: Rates | None = None) -> dict[str, object]:
    life, why = liveness.judge(first, last)
    found: Metrics = last.metrics or metrics.Metrics()
    came = rates or liveness.rates(first, last)
    drafting = found.drafting
    return {
        "name": service.name if service is not None else "",
        "recipe": service.recipe if service is not None else "",
        "state": life,
        "why": why,
        "url": service.url if service is not None else "",
        "running": found.running,
        "waiting": found.waiting,
        "generated_per_second": came.generated,
        "prompt_per_second": came.prompt,
        "kv_usage": found.kv_usage,
        "prefix_hit_rate": found.prefix_hit_rate,
        "preemptions": found.preemptions,
        "memory_bytes": service.resident_bytes if service is not None else None,
        "claim_bytes": service.claim_bytes if service is not None else None,
        "acceptance": {"overall": drafting.overall, "positions": list(drafting.positions), "drafted": drafting.drafted}
        if drafting is not None
        else None,
    }


def _line(row: dict[str, object]) -> str:
    parts = [f"{row['state']}", f"{_count(row['running'])} running", f"{_count(row['waiting'])} waiting"]
    parts += [f"{_tokens(row['generated_per_second'])} tok/s", f"KV cache {_share(row['kv_usage'])}"]
    return "  ".join([*parts, str(row["why"]) if row["state"] not in {Life.READY, Life.BUSY} else ""]).rstrip()


def _show(session: Session, row: dict[str, object]) -> None:
    acceptance = row["acceptance"]
    shown = {
        "state": ": ".join(filter(None, [str(row["state"]), str(row["why"])])),
        "recipe": row["recipe"],
        "url": row["url"],
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


def _count(value: object) -> str:
    return f"{value:,.0f}" if isinstance(value, int | float) else "?"


def _tokens(value: object) -> str:
    return f"{value:,.1f}" if isinstance(value, int | float) else "?"


def _share(value: object) -> str:
    return f"{100 * value:.0f} %" if isinstance(value, int | float) else "?"


def _size(value: object) -> str:
    return units.format_gib(value) if isinstance(value, int) else "unknown"
