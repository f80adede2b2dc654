"""``sparkctl agent``: the resident process that keeps the applied stack; each subcommand is a module of its own."""

from __future__ import annotations

from typing import Final

import click

from sparkctl.cli.subcommands import LazySubcommands

SUBCOMMANDS: Final[dict[str, str]] = {
    "run": "Keep the applied stack running, until it is stopped.",
    "status": "Show whether an agent runs, and where each service stands.",
    "install": "Make units of systemd, so that it comes up with the host.",
    "uninstall": "Remove those units; the services go on.",
}
"""Each is the object ``command`` of the module ``agent_NAME`` in this folder."""
OTHER_WORDS: Final = {
    "start": "run",
    "up": "run",
    "ps": "status",
    "show": "status",
    "enable": "install",
    "remove": "uninstall",
    "disable": "uninstall",
    "stop": "uninstall",
}
"""Words of users who know other programs, and sparkctl's word for each."""


@click.command(
    cls=LazySubcommands, called="agent", modules="sparkctl.cli.agent.agent", table=SUBCOMMANDS, others=OTHER_WORDS
)
def command() -> None:
    """Keep what was applied: started again when it ends, brought up after a reboot, left alone when you stop it."""
