"""``sparkctl up``: start services, one after another, and prove each healthy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base.units import format_gib
from sparkctl.cli.memory import fitting
from sparkctl.cli.options import names, overrides, strict
from sparkctl.operations import models
from sparkctl.operations.changes import Options, RefusedError
from sparkctl.operations.checks import named
from sparkctl.operations.mods.fetched import fetch_missing

if TYPE_CHECKING:
    from sparkctl.cli.memory.fitting import Asked
    from sparkctl.cli.session import Session
    from sparkctl.recipes.service import Service


@click.command
@names
@overrides
@strict
@click.option("--replace", is_flag=True, help="Stop and start again what runs but differs from its recipe.")
@click.option("--keep", is_flag=True, help="Leave a container that failed, to look at it.")
@click.option("--fit", is_flag=True, help="Take the first smaller setting with which the set fits, and say which.")
@click.option("--drop-caches", is_flag=True, help="Ask the kernel (as root) to give back the page cache first.")
@click.option("--json", "as_json", is_flag=True, help="Print what happens as lines of JSON.")
@click.option("--download", is_flag=True, help="Download the models that are not on this host.")
@click.pass_context
def command(ctx: click.Context, /, names: tuple[str, ...], overrides: tuple[str, ...], **switches: bool) -> None:
    """Start recipes or stacks, one after another, and prove each healthy.

    What is up already stays up. Exit codes: 2 recipe or usage, 3 does not fit, 4 engine, port or name taken,
    5 not ready, 6 mods, 7 a required check failed, 130 interrupted.
    """
    session: Session = ctx.obj
    asked = fitting.asked(ctx, names, overrides, switches)
    services = _services(session, asked, **switches)
    if switches["drop_caches"]:
        _drop_caches(session)
    if switches["fit"]:
        services, asked = _fitted(session, services, asked, **switches)
    checks = named.required_checks(session.world, services)
    with session.out.reporting(as_json=switches["as_json"]):
        controller = session.world.controller(services)
        try:
            controller.up(
                services, Options(switches["replace"], switches["keep"], named.require(session.world, checks))
            )
        except RefusedError as error:
            refused = error.plan
        else:
            return
    fitting.refuse(session, refused, [service.wanted for service in services], asked)


def _services(session: Session, asked: Asked, **switches: bool) -> list[Service]:
    """Return the services, whose models are here and whose secrets have values."""
    loader = session.world.loader(session.world.ports.models, session.world.images)
    located = loader.located(asked.names, asked.overrides, strict=switches["strict"])
    if switches["download"]:
        models.download(session.world, located)
        located = loader.located(asked.names, asked.overrides, strict=switches["strict"])
    models.require(session.world, located)
    services = session.world.services(loader, located)
    for service in services:
        session.world.required_secrets(service)
    with session.out.reporting():
        fetch_missing(session.world, [mod for service in services for mod in service.mods])
    return services


def _drop_caches(session: Session) -> None:
    before = session.world.host.memory()
    session.world.host.drop_caches()
    after = session.world.host.memory()
    freed = (after.free_bytes or 0) - (before.free_bytes or 0)
    gained = after.available_bytes - before.available_bytes
    session.out.say(
        f"dropped the page cache: {format_gib(freed)} more are free, and {format_gib(gained)} more are available"
    )


def _fitted(session: Session, services: list[Service], asked: Asked, **switches: bool) -> tuple[list[Service], Asked]:
    """Return the services with the first smaller setting with which they fit, as they are when they fit already."""
    with session.out.reporting():
        controller = session.world.controller(services)
        expected = controller.expected(services)
        plan = controller.plan(expected, replace=switches["replace"])
    if plan.fits:
        return services, asked
    smaller = fitting.fitted(session, plan, [service.wanted for service in expected], asked)
    return _services(session, smaller, **switches), smaller
