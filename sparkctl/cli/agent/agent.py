"""``sparkctl agent``: the resident process that keeps the applied stack; each subcommand is a module of its own."""

from __future__ import annotations

import importlib
from typing import Final

import click

from sparkctl.cli import words

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
"""What people say who come from other programs, and what it is here."""


class AgentGroup(click.Group):
    """A group whose subcommands are imported when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        """Return the names in the table's order."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the subcommand's module and return its command."""
        if cmd_name not in SUBCOMMANDS:
            return None
        command: click.Command = importlib.import_module(f"sparkctl.cli.agent.agent_{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand that the first word names; of one that is none, say which was probably meant."""
        if args[0] in SUBCOMMANDS or args[0].startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        raise click.UsageError(
            f"no agent command {args[0]!r}; {words.hint_within('agent', args[0], SUBCOMMANDS, OTHER_WORDS)}", ctx
        )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table without importing a subcommand."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUBCOMMANDS.items()))


@click.command(cls=AgentGroup)
def command() -> None:
    """Keep what was applied: started again when it ends, brought up after a reboot, left alone when you stop it."""
