"""``sparkctl agent install``: units of systemd, so that the agent comes up with the host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sparkctl.base.real_path import real
from sparkctl.operations.agent.install import AskedUnits, install, planned, refuse_without_root

if TYPE_CHECKING:
    from sparkctl.cli.session import Session


@click.command
@click.option("--user", is_flag=True, help="A unit of your own, without root and without the guard.")
@click.option("--run-as", metavar="USER", help="Who the system's agent runs as (who called sudo).")
@click.option("--yes", is_flag=True, help="Write them, and start them.")
@click.pass_context
def command(ctx: click.Context, /, run_as: str | None, *, user: bool, yes: bool) -> None:
    """Make units of systemd for the agent and the guard: printed first, and with --yes written and started.

    Run again, it writes what has changed. Whoever is in the group docker is root in all but name.
    """
    session: Session = ctx.obj
    found = planned(session.world, AskedUnits(user, _options(ctx), run_as))
    for one in found.files:
        session.out.result(f"# {one.path}{' (as it is)' if one.there else ''}")
        session.out.result(one.text)
    for note in found.notes:
        session.out.warn(note)
    if not yes:
        session.out.say("nothing is written: --yes writes these and starts them")
        return
    refuse_without_root(user=user)
    for line in install(session.world, found):
        session.out.say(line)


def _options(ctx: click.Context) -> tuple[str, ...]:
    """Return the options before the command's name that the units repeat: folders as absolute paths."""
    given = ctx.find_root().params
    environ = ctx.obj.world.environ
    folder = given.get("folder") or environ.get("SPARKCTL_RECIPES")
    profile = given.get("profile") or environ.get("SPARKCTL_PROFILE")
    found = ["--recipes", str(real(Path(folder)))] if folder else []
    return (*found, *(["--profile", profile] if profile else []))
