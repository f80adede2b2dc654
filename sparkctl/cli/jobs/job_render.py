"""``sparkctl job render``: the docker run command of a job."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from sparkctl.cli import options
from sparkctl.cli.options import as_json, job_overrides
from sparkctl.operations.jobs.rendered import render
from sparkctl.world.docker_run import grammar

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@options.job
@job_overrides
@as_json
@click.option("--stage", is_flag=True, help="Make the copies of the script that the command mounts.")
@click.pass_obj
def command(session: Session, name: str, overrides: tuple[str, ...], *, as_json: bool, stage: bool) -> None:
    """Print the docker run command of a job, one flag a line, to read or to paste.

    What is assumed, missing or not made yet is said on stderr.
    """
    rendered = render(session.world, name, overrides, stage=stage)
    for note in rendered.notes:
        session.out.say(note)
    if as_json:
        session.out.json(asdict(rendered.spec))
    else:
        session.out.shell(grammar.shell_text(rendered.words, ascii_only=not session.out.unicode))
