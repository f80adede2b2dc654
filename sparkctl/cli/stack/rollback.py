"""``sparkctl rollback``: bring a generation back, with the same images, as a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.cli.memory import fitting
from sparkctl.cli.stack import generation_json
from sparkctl.cli.stack.history import changed_lines
from sparkctl.operations.memory.plan import SetDoesNotFitError
from sparkctl.operations.stack.rollback import prepared, put_back

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.operations.stack.rollback import Restoring


@click.command
@click.argument("number", type=click.IntRange(1), required=False, metavar="[N]")
@click.option("--prune", is_flag=True, help="Remove services that came later, too.")
@click.option("--dry-run", is_flag=True, help="Show what would change; touch nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print what happens as lines of JSON.")
@click.pass_obj
def command(session: Session, number: int | None, *, prune: bool, dry_run: bool, as_json: bool) -> None:
    """Bring generation N back (the applied one before the last) as a new generation: the same commands and images.

    What is up as it was then stays up. Exit codes: 2 no such generation, or its model is gone, 3 does not fit,
    4 an image is gone or the engine refuses, 5 not ready, 6 mods, 7 a required check failed, 130 interrupted.
    """
    try:
        with session.out.reporting(as_json=as_json):
            found = prepared(session.world, number, pull=not dry_run)
            if not as_json:
                _show(session, found, prune=prune)
            if not dry_run:
                found = put_back(session.world, found, prune=prune)
    except SetDoesNotFitError as error:
        fitting.draw(session.out, error.planned.plan)
        raise
    if as_json:
        session.out.json(_row(found), indent=None)
    elif found.kept is not None:
        session.out.say(f"generation {found.kept.number}: generation {found.target.number} is back")


def _row(found: Restoring) -> dict[str, object]:
    return {
        "generation": None if found.kept is None else found.kept.number,
        "restores": found.target.number,
        "before": found.before.number,
        "changes": [generation_json.change(one) for one in found.changes],
        "images": list(found.images),
        "started": [service.name for service in found.services],
        "leaves": list(found.leaves),
    }


def _show(session: Session, found: Restoring, *, prune: bool) -> None:
    """Show what changes, before anything does."""
    if not found.changes:
        told = f"generation {found.target.number} has the same services as generation {found.before.number}"
        session.out.say(f"{told}, the last that was applied")
    for line in changed_lines(found.changes):
        session.out.result(line)
    for line in found.images:
        session.out.say(line)
    if found.leaves and not prune:
        told = f"not in generation {found.target.number}, and left as they are (--prune removes them)"
        session.out.say(f"{told}: {', '.join(found.leaves)}")
