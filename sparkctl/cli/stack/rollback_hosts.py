"""``sparkctl rollback --all-hosts``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from sparkctl.cli.session import over_hosts
from sparkctl.cli.stack import generation_json, generation_lines
from sparkctl.operations.stack.over_hosts.rollback import carried_out, prepared

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.operations.stack.over_hosts.acting import DoneOnHosts
    from sparkctl.operations.stack.over_hosts.rollback import RestoringHosts


def back_on_hosts(session: Session, number: int | None, *, prune: bool, dry_run: bool, as_json: bool) -> None:
    """Bring back what was applied over several hosts before the last time, and show what changes on each.

    Raises:
        UsageError: a ``number`` was given.
        SparkctlError: as for ``carried_out``.
    """
    out = session.out
    if number is not None:
        raise click.UsageError("each host has numbers of its own: without N, what was applied before the last time")
    over_hosts(session)
    with (
        out.reporting(as_json=as_json and not dry_run),
        prepared(session.world, prune=prune, pull=not dry_run) as ready,
    ):
        if not as_json:
            _show(session, ready)
        done = None if dry_run else carried_out(ready)
    if as_json:
        out.json(_row(ready, done), indent=2 if dry_run else None)
    elif done is None:
        out.say("nothing was done: this was a dry run")
    else:
        numbers = ", ".join(f"{host}: generation {one.number}" for host, one in done.generations.items())
        out.say(f"{ready.back.stack} is back: {numbers}")


def _show(session: Session, ready: RestoringHosts) -> None:
    when = datetime.fromtimestamp(ready.back.at, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
    session.out.say(f"back to {ready.back.stack} as it was applied at {when} UTC, by {ready.back.who}")
    for host in ready.hosts:
        for line in generation_lines.changed(host.changes):
            session.out.result(f"{host.name}: {line}" if not line.startswith(" ") else line)
        if host.goes:
            session.out.result(f"{host.name}: {', '.join(host.goes)} ends there")


def _row(ready: RestoringHosts, done: DoneOnHosts | None) -> dict[str, object]:
    kept = {} if done is None else done.generations
    return {
        "stack": ready.back.stack,
        "at": ready.back.at,
        "who": ready.back.who,
        "hosts": {
            host.name: {
                "generation": kept[host.name].number if host.name in kept else None,
                "changes": [generation_json.change(one) for one in host.changes],
                "goes": list(host.goes),
            }
            for host in ready.hosts
        },
    }
