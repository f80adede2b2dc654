"""``sparkctl gateway``: one address for every service of a stack; each subcommand is a module of its own."""

from __future__ import annotations

import importlib
from typing import Final

import click

from sparkctl.cli import words

SUBCOMMANDS: Final[dict[str, str]] = {
    "run": "Apply a stack and serve it, until it is stopped.",
}
"""Each is the object ``command`` of the module ``gateway_NAME`` in this folder."""
OTHER_WORDS: Final = {"start": "run", "up": "run", "serve": "run"}
"""What people say who come from other programs, and what it is here."""


class GatewayGroup(click.Group):
    """A group whose subcommands are imported when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        """Return the names in the table's order."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the subcommand's module and return its command."""
        if cmd_name not in SUBCOMMANDS:
            return None
        command: click.Command = importlib.import_module(f"sparkctl.cli.gateway.gateway_{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand that the first word names; of one that is none, say which was probably meant."""
        if args[0] in SUBCOMMANDS or args[0].startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        raise click.UsageError(
            f"no gateway command {args[0]!r}; {words.hint_within('gateway', args[0], SUBCOMMANDS, OTHER_WORDS)}", ctx
        )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table without importing a subcommand."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUBCOMMANDS.items()))


@click.command(cls=GatewayGroup)
def command() -> None:
    """One address for every service of a stack: it starts what is asked for and makes room by what fits."""
