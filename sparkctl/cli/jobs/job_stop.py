"""``sparkctl job stop``: end jobs that run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.operations.jobs.stop import stop

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command("stop")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.pass_obj
def command(session: Session, names: tuple[str, ...]) -> None:
    """Stop jobs and remove what they have made so far. Products that have their name stay."""
    with session.out.reporting():
        stopped = stop(session.world, names)
    for name in names:
        if name not in stopped:
            session.out.say(f"{name}: does not run")
