"""``sparkctl render``: the docker run command of a recipe."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from sparkctl.cli import options
from sparkctl.cli.options import as_json, named, overrides, strict
from sparkctl.operations.files.render import render
from sparkctl.world.docker_run import grammar

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@options.name
@named
@overrides
@strict
@as_json
@click.option("--stage", is_flag=True, help="Make the files that the command names: verified mods, secrets.")
@click.pass_obj
def command(
    session: Session,
    name: str,
    named: str | None,
    overrides: tuple[str, ...],
    *,
    strict: bool,
    as_json: bool,
    stage: bool,
) -> None:
    """Print the docker run command of a recipe, one flag a line, to read or to paste.

    Needs no engine, no image and no Spark. What is assumed or missing is said on stderr.
    """
    rendered = render(session.world, name, overrides, strict=strict, stage=stage, named=named)
    for note in rendered.notes:
        session.out.say(note)
    if as_json:
        session.out.json(asdict(rendered.spec))
    else:
        session.out.shell(grammar.shell_text(rendered.words, ascii_only=not session.out.unicode))
