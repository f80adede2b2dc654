"""``sparkctl hosts``: the Sparks that this operator reaches by ssh; each subcommand is a module of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from sparkctl.cli.subcommands import LazySubcommands

if TYPE_CHECKING:
    from sparkctl.cli.session import Session

SUBCOMMANDS: Final[dict[str, str]] = {
    "add": "Reach a host once, find its fabric, and write it into hosts.yaml.",
    "list": "List the hosts of hosts.yaml.",
    "doctor": "Ask all hosts how they are, at once.",
    "check": "Compare two hosts, what they have of recipes, and try the fabric between them.",
    "distribute": "Bring images and models of recipes to other hosts, and prove that they are the same.",
}
"""Each is the object ``command`` of the module ``hosts_NAME`` in this folder."""
OTHER_WORDS: Final = {
    "ls": "list",
    "show": "list",
    "status": "doctor",
    "compare": "check",
    "diff": "check",
    "new": "add",
    "sync": "distribute",
    "copy": "distribute",
    "push": "distribute",
}
"""Words of users who know other programs, and sparkctl's word for each."""


@click.command(
    cls=LazySubcommands, called="hosts", modules="sparkctl.cli.hosts.hosts", table=SUBCOMMANDS, others=OTHER_WORDS
)
@click.pass_obj
def command(session: Session) -> None:
    """Several Sparks: named in hosts.yaml, reached by your own ssh, with nothing installed on them."""
    session.out.simulated = False  # whatever engine this machine has, these hosts are real
