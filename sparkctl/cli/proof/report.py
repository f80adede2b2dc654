"""``sparkctl report``: a file for a bug report, with everything that helps and no secrets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sparkctl.base import units
from sparkctl.cli import options
from sparkctl.operations.report import report

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@options.name
@click.option("--output", type=click.Path(path_type=Path), help="The file to write (NAME-report.md here).")
@click.pass_obj
def command(session: Session, name: str, output: Path | None) -> None:
    """Write a file for a bug report: the host, the image, the command, the diagnosis and the log, without secrets.

    Read it before you give it to anybody: prompts that a server logged are in it.
    """
    with session.out.reporting():
        written = report(session.world, name, output)
    size = units.format_bytes(written.size_bytes)
    session.out.say(f"wrote {written.path} ({size}); read it before you give it to anybody")
