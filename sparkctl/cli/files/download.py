"""``sparkctl download``: a recipe's models, onto this host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.options import names, overrides
from sparkctl.operations import models
from sparkctl.world.local.model_folders import DiskModels

if TYPE_CHECKING:
    from sparkctl.operations.context import World


@click.command
@names
@overrides
@click.pass_obj
def command(world: World, names: tuple[str, ...], overrides: tuple[str, ...]) -> None:
    """Download the models of recipes or stacks, those of their drafts too, that are not on this host.

    They go into the recipe's folder, else into the Hugging Face cache. What is cut off resumes.
    """
    models.download(world, world.loader(DiskModels()).located(names, overrides, strict=False))
    world.out.say("everything is here")
