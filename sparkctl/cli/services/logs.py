"""``sparkctl logs``: the logs of services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import everything, refuse_none_or_both, several
from sparkctl.operations.services.running import chosen, has_log, logs

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@several
@everything
@click.option("-f", "--follow", is_flag=True, help="Go on until the service ends.")
@click.option("-n", "--tail", type=click.IntRange(min=0), metavar="LINES", help="Only the last lines.")
@click.pass_obj
def command(session: Session, names: tuple[str, ...], *, everything: bool, follow: bool, tail: int | None) -> None:
    """Print the log of a service as its server wrote it; of several one after another, each below its name."""
    refuse_none_or_both(names, everything=everything)
    services = chosen(session.world, names, everything=everything, known=has_log)
    if follow and len(services) > 1:
        raise click.UsageError(f"--follow is for one service: {', '.join(services)}")
    for name in services:
        lines = logs(session.world, name, tail=tail, follow=follow)
        if len(services) > 1:
            session.out.result(f"==> {name} <==")
        for line in lines:
            session.out.plain(line)
