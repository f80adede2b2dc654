"""``sparkctl logs``: the logs of services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import everything, refuse_none_or_both, several
from sparkctl.operations.services.named_services import logs

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@several
@everything
@click.option("-f", "--follow", is_flag=True, help="Go on until the service ends.")
@click.option("-n", "--tail", type=click.IntRange(min=0), metavar="LINES", help="Only the last lines.")
@click.option("--rank", type=click.IntRange(min=0), metavar="N", help="Of a group this rank's alone; 0 is the head's.")
@click.pass_obj
def command(
    session: Session,
    /,
    names: tuple[str, ...],
    *,
    everything: bool,
    follow: bool,
    tail: int | None,
    rank: int | None,
) -> None:
    """Print the log of a service as its server wrote it; of several one after another, each below its name.

    Of a group over several hosts it is the log of all ranks, by time, each line after its rank.
    """
    refuse_none_or_both(names, everything=everything)
    found = logs(session.world, names, everything=everything, rank=rank, tail=tail, follow=follow)
    for name, lines in found:
        if len(found) > 1:
            session.out.result(f"==> {name} <==")
        for line in lines:
            session.out.plain(line)
