"""``sparkctl hosts doctor``: how all hosts are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base.errors import BlockedError
from sparkctl.cli.hosts.findings import show
from sparkctl.cli.options import as_json
from sparkctl.operations.hosts.doctor import doctor

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@click.argument("names", nargs=-1, metavar="[NAME...]")
@as_json
@click.pass_obj
def command(session: Session, names: tuple[str, ...], *, as_json: bool) -> None:
    """Ask all hosts at once how they are, or those that are named.

    Exits 8 when one is not reached, or something would stop `up` on it.
    """
    found = doctor(session.world, names)
    if as_json:
        session.out.json({host: [one._asdict() for one in findings] for host, findings in found.items()})
    else:
        for host, findings in found.items():
            show(session.out, findings, host)
    blocked = [host for host, findings in found.items() if any(one.status == "blocker" for one in findings)]
    if blocked:
        raise BlockedError(f"not fit to serve: {', '.join(blocked)}")
