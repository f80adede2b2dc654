"""``sparkctl up``: start services, one after another, and prove each healthy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli import models
from sparkctl.cli.options import names, overrides, strict
from sparkctl.controller import Options
from sparkctl.errors import InputError

if TYPE_CHECKING:
    from sparkctl.cli.world import World
    from sparkctl.service import Service


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
        _require_secrets(world, service)
    with world.out.reporting() as report:
        world.controller(services, report).up(services, Options(switches["replace"], switches["keep"]))


def _require_secrets(world: World, service: Service) -> None:
    _, missing = world.secret_values(service)
    if missing:
        message = f"{service.name}: no value for {', '.join(missing)}"
        file = world.operator.config / "secrets.env"
        raise InputError(message, hint=f"set it in your environment, or as NAME=value in {file} (mode 600)")
