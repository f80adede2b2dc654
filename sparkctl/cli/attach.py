"""``sparkctl attach``: join a start that another terminal began, or that was left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from sparkctl import observing
from sparkctl.cli import named_checks
from sparkctl.cli.options import as_json
from sparkctl.container import LABEL_MODEL, LABEL_RECIPE, LABEL_URL
from sparkctl.errors import InputError

if TYPE_CHECKING:
    from sparkctl.cli.world import World
    from sparkctl.ports import Container
    from sparkctl.service import Service


@click.command
@click.argument("name")
@as_json
@click.pass_obj
def command(world: World, name: str, *, as_json: bool) -> None:
    """Watch a service's start to its end, without a part in it: the same line and the same exit codes as `up`.

    With --json each moment is a line of JSON on stdout.
    """
    world.refuse_elsewhere()
    container = observing.find(world.engine, name)
    if container is None:
        message = f"no service {name} is deployed"
        raise InputError(message, hint=f"sparkctl up {name} starts it, sparkctl ps lists those that there are")
    service = _service(world, name, container)
    with world.out.reporting(as_json=as_json) as report:
        require = named_checks.require(world, report, named_checks.required(world, [service]))
        world.controller([service], report).attach(service, require)


def _service(world: World, name: str, container: Container) -> Service:
    """Return the service that a container is: its recipe, at the address that its label says."""
    recipe, url = container.labels.get(LABEL_RECIPE, ""), container.labels.get(LABEL_URL, "")
    if not world.catalog.knows(recipe):
        message = f"{name} was made from the recipe {recipe or '?'}, which is not there any more"
        raise InputError(message, hint=f"sparkctl status {name} says what it does, sparkctl logs {name} how far it is")
    own = [f"serve.port={url.rpartition(':')[2]}", f"serve.name={container.labels.get(LABEL_MODEL, '')}"]
    loader = world.loader(world.ports.models, world.known_images)
    (service,) = world.services(loader, loader.located([recipe], own, strict=False))
    return replace(service, name=name)
