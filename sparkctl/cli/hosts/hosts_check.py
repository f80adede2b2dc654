"""``sparkctl hosts check``: what two hosts differ in, the fabric between them, and what they have of recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.hosts.findings import show
from sparkctl.cli.options import as_json, several
from sparkctl.operations.hosts.doctor import check

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@click.argument("one")
@click.argument("other")
@several
@as_json
@click.pass_obj
def command(session: Session, one: str, other: str, names: tuple[str, ...], *, as_json: bool) -> None:
    """Compare two hosts: kernel, driver, GPU, memory, engine, image store, clock, MTU; and try the fabric both ways.

    Of each recipe or stack NAME also what both have: the image, its vLLM, each file of the model, the mods. Large files
    are compared by size, and by the sums that their download noted; `hosts distribute` reads them.
    """
    found = check(session.world, one, other, names)
    if as_json:
        session.out.json([finding._asdict() for finding in found])
    else:
        show(session.out, found)
