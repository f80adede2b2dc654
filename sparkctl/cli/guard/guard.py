"""``sparkctl guard``: what ends a service before the host runs out of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from sparkctl.cli.guard import guard_shown
from sparkctl.cli.guard.guard_options import folder, lines, owner
from sparkctl.cli.options import as_json
from sparkctl.operations.guard import launch
from sparkctl.operations.guard.alone.lines import ACT_BYTES, FLOOR_BYTES, RESERVE_BYTES
from sparkctl.operations.guard.alone.places import Places
from sparkctl.operations.guard.status import of_host

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.operations.guard.alone.lines import Lines

AMISS: Final = 9
"""The exit code if no guard runs, or not as it should."""


@click.group
@click.pass_obj
def command(session: Session) -> None:
    """End a service before the host runs out of memory: its lines, what it would do, whether it could.

    The guard is a process of its own, small and locked in memory. Who has to end, and in which order, the agent tells
    it; it looks at no other container.
    """
    session.out.simulated = False  # the guard's host is this one, whatever the engine is


@command.command("run")
@folder
@lines
@owner
@click.pass_obj
def run_command(
    session: Session, run_folder: str | None, reserve: int | None, act: int | None, floor: int | None, owner: str | None
) -> None:
    """Guard this host until a signal comes.

    A list of the agent may bring lines of its own, those of the stack. Exits 2 on lines that are none, 4 where another
    guard runs or nothing can be written.
    """
    places = Places(str(launch.run_folder(session.world, run_folder)))
    launch.run(places, _lines(reserve, act, floor), launch.owners(owner))


@command.command("status")
@folder
@as_json
@click.pass_obj
def status_command(session: Session, run_folder: str | None, *, as_json: bool) -> int:
    """Show the guard's lines, what it would do to whom, and what it did.

    Exits 9 where none runs, or one whose memory is not locked or whose list of victims is missing.
    """
    now = launch.moment()
    found = of_host(session.world, now, run_folder)
    if as_json:
        session.out.json(guard_shown.as_json(found, now))
    else:
        guard_shown.tell(session.out, found, now)
    return AMISS if found.problem else 0


@command.command("test")
@folder
@lines
@owner
@as_json
@click.pass_obj
def test_command(
    session: Session,
    run_folder: str | None,
    reserve: int | None,
    act: int | None,
    floor: int | None,
    owner: str | None,
    *,
    as_json: bool,
) -> int:
    """Prove that a guard could act on this host, without touching anything: its rights, its list, its speed.

    Run it as the user whom the guard runs as. Exits 9 where something is missing.
    """
    places = Places(str(launch.run_folder(session.world, run_folder)))
    found = launch.tried(places, _lines(reserve, act, floor), launch.owners(owner))
    if as_json:
        session.out.json([one._asdict() for one in found])
    else:
        for one in found:
            session.out.result(f"{'ok' if one.ok else 'MISSING':8} {one.subject}: {one.found}")
            if one.todo:
                session.out.result(f"{'':8} → {one.todo}")
    return 0 if all(one.ok for one in found) else AMISS


def _lines(reserve: int | None, act: int | None, floor: int | None) -> Lines:
    return launch.lines(reserve or RESERVE_BYTES, act or ACT_BYTES, floor or FLOOR_BYTES)
