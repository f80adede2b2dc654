"""``sparkctl logs``: a service's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.operations.services.running import logs

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on until the service ends.")
@click.option("-n", "--tail", type=click.IntRange(min=0), metavar="LINES", help="Only the last lines.")
@click.pass_obj
def command(session: Session, name: str, *, follow: bool, tail: int | None) -> None:
    """Print a service's log as its server wrote it."""
    for line in logs(session.world, name, tail=tail, follow=follow):
        session.out.plain(line)
