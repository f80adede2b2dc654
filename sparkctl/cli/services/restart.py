"""``sparkctl restart``: stop services and start them again as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import everything, refuse_none_or_both, several
from sparkctl.operations.services.named_services import restart_all

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@several
@everything
@click.pass_obj
def command(session: Session, names: tuple[str, ...], *, everything: bool) -> None:
    """Stop services and start their containers again, one after another, each proved healthy before the next.

    They run as they were made: a recipe that was changed since is taken by `up --replace`. Exit codes as for `up`; a
    container that does not become ready again stays, to look at it. A service over several hosts is stopped on all of
    them, and started as one.
    """
    refuse_none_or_both(names, everything=everything)
    with session.out.reporting():
        restart_all(session.world, names, everything=everything)
