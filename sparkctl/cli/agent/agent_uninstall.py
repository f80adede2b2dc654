"""``sparkctl agent uninstall``: remove the units; the services go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.operations.agent.install import refuse_without_root, uninstall

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@click.option("--user", is_flag=True, help="The unit of your own.")
@click.pass_obj
def command(session: Session, *, user: bool) -> None:
    """Stop agent and guard and remove their units. The services go on as they are."""
    refuse_without_root(user=user)
    for line in uninstall(session.world, user=user):
        session.out.say(line)
