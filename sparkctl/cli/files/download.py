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

    They go into the recipe's folder, else into the Hugging Face cache. What is cut off resumes.
    """
    models.download(
        session.world, session.world.loader(session.world.disk_models).located(names, overrides, strict=False)
    )
    session.out.say("everything is here")
