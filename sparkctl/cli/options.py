"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.operations import secrets

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


def _hidden(ctx: click.Context, _param: click.Parameter, overrides: tuple[str, ...]) -> tuple[str, ...]:
    """Hide from now on what is set that may be a secret."""
    session: Session = ctx.obj
    session.out.boundary.know(secrets.of_overrides(overrides))
    return overrides


names = click.argument("names", nargs=-1, required=True, metavar="NAME...")
overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a recipe's value: limits.context=8192.",
    callback=_hidden,
)
strict = click.option("--strict", is_flag=True, help="Make a flag that this vLLM does not have an error.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
