"""A command of several, each in a module of its own that is imported when it runs: `job`, `agent`, `gateway`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import click

from sparkctl.cli import suggestions

if TYPE_CHECKING:
    from collections.abc import Mapping


class LazySubcommands(click.Group):
    """A group whose help comes from a table.

    ``called`` is the group's name, ``table`` has each subcommand with its help, and ``others`` the words of users who
    know other programs. The object ``command`` of the module ``MODULES_NAME`` is the subcommand NAME.
    """

    def __init__(
        self,
        *given: Any,  # noqa: ANN401  (click's own)
        called: str,
        modules: str,
        table: Mapping[str, str],
        others: Mapping[str, str],
        **more: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*given, **more)
        self._called = called
        self._modules = modules
        self._table = table
        self._others = others

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        """Return the names in the table's order."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the subcommand's module and return its command."""
        if cmd_name not in self._table:
            return None
        command: click.Command = importlib.import_module(f"{self._modules}_{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand that the first word names; for an unknown word, say which one was probably meant."""
        if args[0] in self._table or args[0].startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        hint = suggestions.hint_within(self._called, args[0], self._table, self._others)
        raise click.UsageError(f"no {self._called} command {args[0]!r}; {hint}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table without importing a subcommand."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._table.items()))
