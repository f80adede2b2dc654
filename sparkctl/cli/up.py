"""``sparkctl up``: start services, one after another, and prove each healthy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli import models
from sparkctl.cli.options import names, overrides, strict
from sparkctl.controller import Options

if TYPE_CHECKING:
    from sparkctl.cli.world import World


@click.command
@names
@overrides
@strict
@click.option("--replace", is_flag=True, help="Stop and start again what runs but differs from its recipe.")
@click.option("--keep", is_flag=True, help="Leave a container that failed, to look at it.")
@click.option("--download", is_flag=True, help="Download the models that are not on this host.")
@click.pass_obj
def command(world: World, /, names: tuple[str, ...], overrides: tuple[str, ...], **switches: bool) -> None:
    """Start recipes or stacks, one after another, and prove each healthy.

    What is up already stays up. Exit codes: 2 recipe or usage, 3 does not fit, 4 engine, port or name taken,
    5 not ready, 6 mods, 130 interrupted.
    """
    loader = world.loader(world.ports.models)
    located = loader.located(names, overrides, strict=switches["strict"])
    if switches["download"]:
        models.download(world, located)
        located = loader.located(names, overrides, strict=switches["strict"])
    models.require(world, located)
    services = world.services(loader, located)
    for service in services:
        world.required_secrets(service)
    with world.out.reporting() as report:
        world.controller(services, report).up(services, Options(switches["replace"], switches["keep"]))
