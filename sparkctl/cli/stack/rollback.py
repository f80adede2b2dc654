"""``sparkctl rollback``: bring a generation back, with the same images, as a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base.lazy import LazyModule
from sparkctl.cli.memory import planned_set
from sparkctl.cli.options import as_json
from sparkctl.cli.stack import generation_json, generation_lines
from sparkctl.operations.stack import history
from sparkctl.operations.stack.effect import StackRefusedError, refuse_unfit
from sparkctl.operations.stack.rollback import RolledBack, carried_out, prepared
from sparkctl.planning.box.generation import APPLIED

if TYPE_CHECKING:
    from sparkctl.cli.output import Output
    from sparkctl.cli.session import Session
    from sparkctl.cli.stack import rollback_hosts
    from sparkctl.operations.stack.history import PastApply
    from sparkctl.operations.stack.rollback import Restoring
else:
    rollback_hosts = LazyModule("sparkctl.cli.stack.rollback_hosts")


@click.command
@click.argument("number", type=click.IntRange(1), required=False, metavar="[N]")
@click.option("--prune", is_flag=True, help="Stop and remove services that came later.")
@click.option("--dry-run", is_flag=True, help="Show what would change and what would be done, and do nothing.")
@click.option("--all-hosts", is_flag=True, help="What was applied over several hosts before the last time, on all.")
@as_json
@click.pass_obj
def command(
    session: Session, number: int | None, *, prune: bool, dry_run: bool, all_hosts: bool, as_json: bool
) -> None:
    """Bring generation N back (the applied one before the last) as a new generation: the same commands and images.

    What is up as it was then stays up; what does not become ready is undone. Exit codes: 2 no such generation, or its
    model is gone, 3 does not fit, 4 an image is gone or the engine refuses, 5 not ready, 6 mods, 7 a required check
    failed, 130 interrupted.
    """
    if all_hosts:
        rollback_hosts.back_on_hosts(session, number, prune=prune, dry_run=dry_run, as_json=as_json)
    else:
        _back_here(session, number, prune=prune, dry_run=dry_run, as_json=as_json)


def _back_here(session: Session, number: int | None, *, prune: bool, dry_run: bool, as_json: bool) -> None:
    out = session.out
    try:
        with out.reporting(as_json=as_json and not dry_run):
            restoring = prepared(session.world, number, prune=prune, pull=not dry_run)
            if not as_json:
                _tell_target(out, history.shown(session.world, restoring.target.number))
                _show(out, restoring)
            if dry_run:
                refuse_unfit(restoring.plan)
                if not as_json:
                    out.say("nothing was done: this was a dry run")
            done = RolledBack(restoring) if dry_run else carried_out(session.world, restoring)
    except StackRefusedError as error:
        planned_set.draw(out, error.plan)
        raise
    if as_json:
        out.json(_row(done), indent=2 if dry_run else None)
    elif restoring.already:
        out.say(f"generation {restoring.target.number} is in effect: there was nothing to do")
    elif done.generation is not None:
        out.say(f"generation {done.generation.number}: generation {restoring.target.number} is back")


def _row(done: RolledBack) -> dict[str, object]:
    of = done.restoring
    acts = of.plan.acts if done.generation is None else done.acts
    return {
        "generation": None if done.generation is None else done.generation.number,
        "restores": of.target.number,
        "before": of.before.number,
        "already": of.already,
        "host": list(of.host),
        "changes": [generation_json.change(one) for one in of.changes],
        "images": list(of.images),
        "acts": [{"act": str(act.kind), "services": list(act.services)} for act in acts],
        "left": list(of.left),
    }


def _tell_target(out: Output, target: PastApply) -> None:
    """Say what is brought back, and whether it ever was in effect."""
    of = target.generation
    out.say(f"back to generation {of.number}: {of.stack}, {target.when} UTC, by {of.who}")
    if target.outcome != APPLIED:
        why = f": {target.why}" if target.why else ""
        out.warn(f"generation {of.number} was never applied to its end ({target.outcome}){why}")


def _show(out: Output, of: Restoring) -> None:
    """Show what changes and what is done, before anything is."""
    for line in of.host:
        out.result(line)
    for line in generation_lines.changed(of.changes):
        out.result(line)
    for line in of.images:
        out.say(line)
    for place, act in enumerate(of.plan.acts, 1):
        out.result(f"{place}. {act.kind} {', '.join(act.services)}")
    if of.plan.stuck:
        out.warn(of.plan.stuck)
    if of.left:
        told = f"not in generation {of.target.number}, and left as they are (--prune removes them)"
        out.say(f"{told}: {', '.join(of.left)}")
