"""Arguments and options that several commands share."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sparkctl.base.errors import SparkctlError
from sparkctl.base.lazy import LazyModule
from sparkctl.operations import secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparkctl.cli import session
    from sparkctl.cli.session import Session
    from sparkctl.operations import deployed
else:
    session = LazyModule("sparkctl.cli.session")
    deployed = LazyModule("sparkctl.operations.deployed")

FunctionT = TypeVar("FunctionT", bound="Callable[..., Any]")


def _hidden(ctx: click.Context, _param: click.Parameter, overrides: tuple[str, ...]) -> tuple[str, ...]:
    """Hide from now on the overrides' values that may be secrets."""
    session: Session = ctx.obj
    session.out.boundary.know(secrets.of_overrides(overrides))
    return overrides


def known_names(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of recipes, stacks, their services and what is deployed that begin so, for a shell."""
    own = ctx.find_root().params
    found: list[str] = []
    with suppress(SparkctlError):
        begun = session.begun(engine=own.get("engine"), folder=own.get("folder"), profile=None, verbose=False)
        found += deployed.offered(begun.world)
    return [name for name in dict.fromkeys(found) if name.startswith(incomplete)]


def _known_jobs(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of jobs that begin so, for a shell."""
    own = ctx.find_root().params
    found: list[str] = []
    with suppress(SparkctlError):
        begun = session.begun(engine=own.get("engine"), folder=own.get("folder"), profile=None, verbose=False)
        found += [entry.name for entry in begun.world.catalog.entries("job")]
    return [name for name in found if name.startswith(incomplete) and not name.startswith("_")]


def known_stacks(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of stacks that begin so, for a shell."""
    own = ctx.find_root().params
    found: list[str] = []
    with suppress(SparkctlError):
        begun = session.begun(engine=own.get("engine"), folder=own.get("folder"), profile=None, verbose=False)
        found += [entry.name for entry in begun.world.catalog.entries("stack")]
    return [name for name in found if name.startswith(incomplete)]


name = click.argument("name", shell_complete=known_names)
job = click.argument("name", shell_complete=_known_jobs)
names = click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=known_names)
several = click.argument("names", nargs=-1, metavar="[NAME...]", shell_complete=known_names)
everything = click.option("--all", "everything", is_flag=True, help="Every service of this engine, whoever started it.")


def refuse_none_or_both(names: Sequence[str], *, everything: bool) -> None:
    """Refuse a command that is given neither names nor --all, or both.

    Raises:
        click.UsageError: with what to say.
    """
    if bool(names) == everything:
        raise click.UsageError("name the services, or say --all")


def _overriding(what: str) -> Callable[[FunctionT], FunctionT]:
    return click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help=what, callback=_hidden)


overrides = _overriding("Override a recipe's value: limits.context=8192.")
job_overrides = _overriding("Override a job's value: with.scheme=NVFP4A16.")
named = click.option("--as", "named", metavar="NAME", help="The service's name, where it is not to be its recipe's.")


def _listed(_ctx: click.Context, _param: click.Parameter, text: str | None) -> tuple[str, ...]:
    """Return the names in a list with commas."""
    return () if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


over_hosts = click.option(
    "--hosts", metavar="HEAD,HOST", callback=_listed, help="Hosts that share the model, by rank: nodes: 2 needs two."
)
strict = click.option("--strict", is_flag=True, help="Make a flag that this vLLM does not have an error.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
