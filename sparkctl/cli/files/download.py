"""``sparkctl download``: a recipe's models, onto this host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import names, overrides
from sparkctl.operations import models

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@names
@overrides
@click.pass_obj
def command(session: Session, names: tuple[str, ...], overrides: tuple[str, ...]) -> None:
    """Download the models of recipes or stacks, those of their drafts too, that are not on this host.

    They go into the recipe's folder, else into the Hugging Face cache. What is cut off resumes. A simulated Spark
    downloads nothing.
    """
    found = models.bring(session.world, names, overrides)
    for name, repo in found.unneeded:
        session.out.say(f"{name}: {repo} is not here; a simulated Spark needs no files of it")
    if session.world.simulated:
        session.out.say("nothing was downloaded: `sparkctl --engine docker download` does it")
    else:
        session.out.say("everything is here")
