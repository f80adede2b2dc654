"""``sparkctl explain``: why a recipe's command has its words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli import options
from sparkctl.cli.explained import explained_json, explained_lines
from sparkctl.cli.options import as_json, named, overrides, strict
from sparkctl.operations.explained.explain import explain
from sparkctl.vllm import flags

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


def _flags(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the flags of any known release that begin so, without their dashes, for a shell."""
    return [name[2:] for name in flags.names() if name.startswith(f"--{incomplete.lstrip('-')}")]


@click.command(context_settings={"ignore_unknown_options": True})
@options.name
@click.argument("flag", required=False, shell_complete=_flags)
@named
@overrides
@strict
@as_json
@click.pass_obj
def command(
    session: Session,
    name: str,
    flag: str | None,
    named: str | None,
    overrides: tuple[str, ...],
    *,
    strict: bool,
    as_json: bool,
) -> None:
    """Say of each word of a recipe's command where it comes from, what it does and costs, and what hurts with it.

    FLAG is one of them, with or without its dashes: a flag such as --max-model-len, a variable, an option of docker's,
    or a key of the recipe such as limits.context. A FLAG that the command does not have is explained, too.
    """
    found = explain(session.world, name, flag, overrides, strict=strict, named=named)
    if as_json:
        session.out.json(explained_json.row(found))
        return
    for line in explained_lines.lines(found):
        session.out.result(line)
