"""``sparkctl upgrade``: what another release of vLLM, or another image, changes for a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from sparkctl.cli import options
from sparkctl.cli.explained import upgraded_json, upgraded_lines
from sparkctl.cli.options import as_json, overrides
from sparkctl.operations.explained.upgrade import upgrade

if TYPE_CHECKING:
    from sparkctl.cli.session import Session

TROUBLES: Final = 9
"""The exit code if something in the recipe has to be changed."""


@click.command
@options.name
@click.option("--to", required=True, metavar="VERSION|IMAGE", help="A release of vLLM, 0.33, or an image.")
@click.option("--vllm", metavar="VERSION", help="The vLLM in that image, where its tag does not say it.")
@overrides
@as_json
@click.pass_obj
def command(
    session: Session, name: str, to: str, vllm: str | None, overrides: tuple[str, ...], *, as_json: bool
) -> int:
    """Show what changes for a recipe, or for each service of a stack: flags, defaults, memory, mods, what is known.

    Nothing is pulled or written. Exit codes: 0 the recipe can go on as it is, 9 something of it has to be changed.
    """
    found = upgrade(session.world, name, to, vllm=vllm, overrides=overrides)
    if as_json:
        session.out.json([upgraded_json.row(one) for one in found])
    else:
        for one in found:
            for line in upgraded_lines.lines(one):
                session.out.result(line)
        session.out.say("nothing is pulled or written")
    return TROUBLES if any(one.change.troubles for one in found) else 0
