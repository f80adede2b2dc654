"""``sparkctl down``: stop and remove services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base.errors import InputError
from sparkctl.operations import deployed as observing

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--all", "everything", is_flag=True, help="Every service of this engine.")
@click.pass_obj
def command(session: Session, names: tuple[str, ...], *, everything: bool) -> None:
    """Stop and remove services: their containers, nothing else. Models, images and mods stay."""
    if bool(names) == everything:
        raise click.UsageError("name the services, or say --all")
    deployed = observing.names(session.world.engine)
    wanted = deployed if everything else session.world.service_names(names)
    for name in wanted:
        if name not in deployed and not session.world.catalog.knows(name):
            known = ", ".join(deployed) or "nothing"
            message = f"no service {name} is deployed, and no recipe has this name (deployed: {known})"
            raise InputError(message, hint="sparkctl ps lists the services, sparkctl recipes the recipes")
    with session.out.reporting():
        removed = session.world.controller([]).down(wanted)
    for name in wanted:
        if name not in removed:
            session.out.say(f"{name}: not deployed")
