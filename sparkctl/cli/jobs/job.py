"""``sparkctl job``: what is run once and makes a model; each subcommand is a module of its own."""

from __future__ import annotations

from typing import Final

import click

from sparkctl.cli.subcommands import LazySubcommands

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
"""Words of users who know other programs, and sparkctl's word for each."""


@click.command(
    cls=LazySubcommands, called="job", modules="sparkctl.cli.jobs.job", table=SUBCOMMANDS, others=OTHER_WORDS
)
def command() -> None:
    """Run what makes a model: quantize one, check it, and give it the name that its recipe serves."""
