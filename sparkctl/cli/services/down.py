"""``sparkctl down``: stop and remove services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import everything, refuse_none_or_both, several
from sparkctl.operations.services.named_services import down

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@several
@everything
@click.pass_obj
def command(session: Session, names: tuple[str, ...], *, everything: bool) -> None:
    """Stop and remove services: their containers, nothing else. Models, images and mods stay.

    A service over several hosts is ended on all of them. --all is every service of this engine alone.
    """
    refuse_none_or_both(names, everything=everything)
    with session.out.reporting():
        stopped = down(session.world, names, everything=everything)
    for name in stopped.absent:
        session.out.say(f"{name}: not deployed")
    for name in stopped.paused:
        session.out.say(f"{name}: paused: it stays down until sparkctl up {name}, or an apply of its stack")
    if everything and not stopped.removed:
        session.out.say("nothing is deployed")
