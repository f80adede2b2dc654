"""``sparkctl hosts distribute``: images and models of recipes, brought to other hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.hosts.distribute_lines import show
from sparkctl.cli.options import as_json, names, overrides
from sparkctl.operations.hosts.distribute.distribute import distribute
from sparkctl.operations.hosts.distribute.one_host import WantedCopies

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@names
@overrides
@click.option("--from", "source", metavar="HOST", help="The host that gives (whichever has it).")
@click.option("--to", multiple=True, metavar="HOST", help="A host that is to have it; repeat for several (all others).")
@click.option("--dry-run", is_flag=True, help="Say what would come, how, and whether there is room.")
@as_json
@click.pass_obj
def command(
    session: Session,
    names: tuple[str, ...],
    overrides: tuple[str, ...],
    source: str | None,
    to: tuple[str, ...],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Bring the images and models of recipes or stacks to other hosts, and prove that they are the same there.

    Images are pulled by digest where that host has the network, else carried from engine to engine. Models go by rsync
    over the fabric where the one host's ssh gets to the other, else through this machine. What is cut off goes on.
    Every byte is checked there. Exit codes: 2 usage, or no host has it, 4 a host, a disk or a network refuses,
    7 it is not the same.
    """
    with session.out.reporting(as_json=as_json and not dry_run):
        distributed = distribute(session.world, WantedCopies(names, overrides, source, to), dry_run=dry_run)
    if distributed.brought:
        show(session.out, distributed.brought, as_json=as_json, dry_run=dry_run)
    if distributed.error is not None:
        raise distributed.error
