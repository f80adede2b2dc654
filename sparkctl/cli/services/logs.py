"""``sparkctl logs``: the logs of services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import everything, refuse_none_or_both, several
from sparkctl.cli.session import over_hosts
from sparkctl.operations.groups import by_name
from sparkctl.operations.groups.logs import logs_of
from sparkctl.operations.services.running import chosen, has_log, logs

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
    if _of_group(session, names, rank, tail, follow=follow):
        return
    services = chosen(session.world, names, everything=everything, known=has_log)
    if follow and len(services) > 1:
        raise click.UsageError(f"--follow is for one service: {', '.join(services)}")
    for name in services:
        lines = logs(session.world, name, tail=tail, follow=follow)
        if len(services) > 1:
            session.out.result(f"==> {name} <==")
        for line in lines:
            session.out.plain(line)


def _of_group(session: Session, names: tuple[str, ...], rank: int | None, tail: int | None, *, follow: bool) -> bool:
    """Print the log of a group, and return whether the name is one's."""
    groups = by_name.parted(session.world, names).groups
    if groups and (follow or len(names) > 1):
        raise click.UsageError("the log of a group is printed alone, and as it is now: leave out the rest")
    if rank is not None and not groups:
        raise click.UsageError(f"--rank is for a group over several hosts, and {', '.join(names)} is none")
    for group in groups.values():
        over_hosts(session, group.hosts)
        for line in logs_of(session.world, group, rank=rank, tail=tail):
            session.out.plain(line)
    return bool(groups)
