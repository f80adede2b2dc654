"""``sparkctl attach``: join a start that another terminal began, or that was left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli import options
from sparkctl.cli.options import as_json
from sparkctl.operations.services.running import attach

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@options.name
@as_json
@click.pass_obj
def command(session: Session, name: str, *, as_json: bool) -> None:
    """Watch a service's start to its end, without a part in it: the same line and the same exit codes as `up`.

    With --json each moment is a line of JSON on stdout.
    """
    with session.out.reporting(as_json=as_json):
        attach(session.world, name)
