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
    wanted = session.world.loader(session.world.disk_models).located(names, overrides, strict=False)
    if session.world.simulated:
        models.refuse_damaged(wanted)
        for one in wanted:
            for source in one.missing:
                session.out.say(
                    f"{models.name(one)}: {source.repo} is not here; a simulated Spark needs no files of it"
                )
        session.out.say("nothing was downloaded: `sparkctl --engine docker download` does it")
        return
    models.download(session.world, wanted)
    session.out.say("everything is here")
