"""``sparkctl job clean``: what killed jobs left, shown or removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base.units import format_bytes
from sparkctl.cli.options import as_json
from sparkctl.operations.jobs.clean import clean

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command("clean")
@click.option("--images", is_flag=True, help="Also the images that were built for jobs and that no job names.")
@click.option("--yes", is_flag=True, help="Remove it; without this it is only shown.")
@click.option("--dry-run", is_flag=True, help="Only show it, as without --yes.")
@as_json
@click.pass_obj
def command(session: Session, *, images: bool, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Show what no running job works on: containers, unfinished folders, records; with --yes remove it.

    Products that have their name stay, and so does a run that goes on or that can still be finished.
    """
    if yes and dry_run:
        raise click.UsageError("--yes removes, --dry-run does not: say one of them")
    out = session.out
    with out.reporting():
        found = clean(session.world, images=images, remove=yes)
    if as_json:
        rows = [{"what": one.what, "bytes": one.bytes, "removed": found.removed} for one in found.found]
        out.json([*rows, *({"what": text, "bytes": 0, "removed": False} for text in found.stays)])
        return
    for text in found.stays:
        out.say(f"stays: {text}")
    if not found.found:
        out.result("nothing is left over")
    elif not yes:
        out.table(["left over", "size"], [[one.what, format_bytes(one.bytes)] for one in found.found])
        out.say("nothing is removed yet: sparkctl job clean --yes" + (" --images" if images else ""))
