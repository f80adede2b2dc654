"""``sparkctl hosts add``: one host more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base import units
from sparkctl.operations.hosts.add import add

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@click.argument("name")
@click.argument("ssh", metavar="SSH")
@click.pass_obj
def command(session: Session, name: str, ssh: str) -> None:
    """Reach a host once, find its fabric, and write both into hosts.yaml.

    SSH is what `ssh` takes: a name of ~/.ssh/config, or USER@HOST. It has to get there without a password, and python3
    has to be there.
    """
    added = add(session.world, name, ssh)
    facts = added.facts
    session.out.say(f"{name}: {facts.name}, kernel {facts.kernel}, {units.format_gib(facts.total_bytes)} of memory")
    session.out.result(added.text.rstrip())
    session.out.say(f"written to {added.path}")
