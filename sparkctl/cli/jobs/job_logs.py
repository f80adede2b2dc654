"""``sparkctl job logs``: what a job's script and its tools print."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.operations.jobs.logs import logs

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command("logs")
@click.argument("name", metavar="NAME")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@click.option("-n", "--tail", type=click.IntRange(min=0), metavar="LINES", help="Only the last lines.")
@click.pass_obj
def command(session: Session, name: str, *, follow: bool, tail: int | None) -> None:
    """Print what a job's script and its tools say, of the run that is there or of the last one."""
    for line in logs(session.world, name, tail=tail, follow=follow):
        session.out.plain(line)
