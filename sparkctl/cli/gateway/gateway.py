"""``sparkctl gateway``: one address for every service of a stack; each subcommand is a module of its own."""

from __future__ import annotations

from typing import Final

import click

from sparkctl.cli.subcommands import LazySubcommands

SUBCOMMANDS: Final[dict[str, str]] = {
    "run": "Apply a stack and serve it, until it is stopped.",
}
"""Each is the object ``command`` of the module ``gateway_NAME`` in this folder."""
OTHER_WORDS: Final = {"start": "run", "up": "run", "serve": "run"}
"""Words of users who know other programs, and sparkctl's word for each."""


@click.command(
    cls=LazySubcommands, called="gateway", modules="sparkctl.cli.gateway.gateway", table=SUBCOMMANDS, others=OTHER_WORDS
)
def command() -> None:
    """One address for every service of a stack: it starts what is asked for and makes room by what fits."""
