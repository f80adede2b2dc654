"""``sparkctl down``: stop and remove services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import everything, refuse_none_or_both, several
from sparkctl.cli.session import over_hosts
from sparkctl.operations.groups import by_name
from sparkctl.operations.services.running import Stopped, down

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
    found = by_name.parted(session.world, names)
    with session.out.reporting():
        for group in found.groups.values():
            over_hosts(session, group.hosts)
            by_name.down(session.world, group)
        session.out.simulated = session.world.simulated
        stopped = Stopped((), ())
        if everything or found.others:
            stopped = down(session.world, found.others, everything=everything)
    for name in stopped.absent:
        session.out.say(f"{name}: not deployed")
    for name in stopped.paused:
        session.out.say(f"{name}: paused: it stays down until sparkctl up {name}, or an apply of its stack")
    if everything and not stopped.removed:
        session.out.say("nothing is deployed")
