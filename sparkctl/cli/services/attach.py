"""``sparkctl attach``: join a start that another terminal began, or that was left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base.errors import InputError
from sparkctl.cli.options import as_json
from sparkctl.operations import deployed
from sparkctl.operations.checks import named
from sparkctl.operations.deployed_service import service_of

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@click.argument("name")
@as_json
@click.pass_obj
def command(session: Session, name: str, *, as_json: bool) -> None:
    """Watch a service's start to its end, without a part in it: the same line and the same exit codes as `up`.

    With --json each moment is a line of JSON on stdout.
    """
    session.world.refuse_elsewhere()
    container = deployed.find(session.world.engine, name)
    if container is None:
        message = f"no service {name} is deployed"
        raise InputError(message, hint=f"sparkctl up {name} starts it, sparkctl ps lists those that there are")
    service = service_of(session.world, name, container, session.world.known_images)
    with session.out.reporting(as_json=as_json):
        require = named.require(session.world, named.required_checks(session.world, [service]))
        session.world.controller([service]).attach(service, require)
