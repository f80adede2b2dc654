"""``sparkctl logs``: a service's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base.errors import InputError
from sparkctl.operations import deployed

if TYPE_CHECKING:
    from sparkctl.cli.session import Session

_POLL_S = 0.2


@click.command
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on until the service ends.")
@click.option("-n", "--tail", type=click.IntRange(min=0), metavar="LINES", help="Only the last lines.")
@click.pass_obj
def command(session: Session, name: str, *, follow: bool, tail: int | None) -> None:
    """Print a service's log as its server wrote it."""
    engine = session.world.engine
    container = deployed.find(engine, name)
    if container is None:
        known = ", ".join(deployed.names(engine)) or "nothing"
        message = f"no service {name} is deployed (deployed: {known})"
        raise InputError(message, hint="sparkctl ps lists them")
    if not follow:
        for line in engine.logs(container.id, tail=tail):
            session.out.raw(line)
        return
    reader = engine.follow(container.id)
    try:
        lines = reader.read()
        for line in lines if tail is None else lines[len(lines) - tail :]:
            session.out.raw(line)
        while (now := engine.container(container.id)) is not None and now.state == "running":
            session.world.ports.clock.sleep(_POLL_S)
            for line in reader.read():
                session.out.raw(line)
    finally:
        reader.close()
