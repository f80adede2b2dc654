"""``sparkctl schema``: the JSON Schema of a file format, for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.operations.files.schema import FORMATS, schema

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@click.argument("format", type=click.Choice(list(FORMATS)))
@click.pass_obj
def command(session: Session, format: str) -> None:  # noqa: A002  (the argument's name on the command line)
    """Print the JSON Schema of a file format.

    An editor with the YAML language server uses it when a file begins with

    # yaml-language-server: $schema=recipe.schema.json
    """
    session.out.json(schema(format))
