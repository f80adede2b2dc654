"""``sparkctl hosts check``: what two hosts differ in, and the fabric between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.hosts.findings import show
from sparkctl.cli.options import as_json
from sparkctl.operations.hosts.doctor import check

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@click.argument("one")
@click.argument("other")
@as_json
@click.pass_obj
def command(session: Session, one: str, other: str, *, as_json: bool) -> None:
    """Compare two hosts: kernel, driver, GPU, memory, engine, image store, clock, MTU; and try the fabric both ways."""
    found = check(session.world, one, other)
    if as_json:
        session.out.json([finding._asdict() for finding in found])
    else:
        show(session.out, found)
