"""``sparkctl job``: what is run once and makes a model; each subcommand is a module of its own."""

from __future__ import annotations

import importlib
from typing import Final

import click

from sparkctl.cli import words

SUBCOMMANDS: Final[dict[str, str]] = {
    "run": "Run a job: make its product, check it, give it its name.",
    "logs": "Print what a job's script and its tools say.",
    "stop": "Stop a job and remove what it has made.",
    "clean": "Remove what killed jobs left.",
    "list": "List the jobs, and whether what they make is there.",
    "show": "Show a job, each value with the place that it comes from.",
    "plan": "Show what a job takes, and whether it fits beside what runs.",
    "render": "Print the docker run command of a job.",
}
"""Each is the object ``command`` of the module ``job_NAME`` in this folder."""
OTHER_WORDS: Final = {
    "start": "run",
    "make": "run",
    "up": "run",
    "ls": "list",
    "ps": "list",
    "log": "logs",
    "kill": "stop",
    "down": "stop",
    "rm": "clean",
    "remove": "clean",
    "prune": "clean",
    "size": "plan",
}
"""What people say who come from other programs, and what it is here."""


class JobGroup(click.Group):
    """A group whose subcommands are imported when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        """Return the names in the table's order."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the subcommand's module and return its command."""
        if cmd_name not in SUBCOMMANDS:
            return None
        command: click.Command = importlib.import_module(f"sparkctl.cli.jobs.job_{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand that the first word names; of one that is none, say which was probably meant."""
        if args[0] in SUBCOMMANDS or args[0].startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        raise click.UsageError(
            f"no job command {args[0]!r}; {words.hint_within('job', args[0], SUBCOMMANDS, OTHER_WORDS)}", ctx
        )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table without importing a subcommand."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUBCOMMANDS.items()))


@click.command(cls=JobGroup)
def command() -> None:
    """Run what makes a model: quantize one, check it, and give it the name that its recipe serves."""
