"""``sparkctl apply``: make a stack so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base.lazy import LazyModule
from sparkctl.cli.memory import planned_set
from sparkctl.cli.options import as_json, known_stacks
from sparkctl.cli.stack.applying import row, tell, tell_dry
from sparkctl.operations.stack.apply import ApplyOptions, carried_out, prepared
from sparkctl.operations.stack.over_hosts.asked import for_hosts

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.cli.stack import apply_hosts
    from sparkctl.operations.stack import effect
    from sparkctl.operations.stack.apply import AppliedStack
else:
    apply_hosts = LazyModule("sparkctl.cli.stack.apply_hosts")
    effect = LazyModule("sparkctl.operations.stack.effect")


@click.command
@click.argument("stack", shell_complete=known_stacks)
@click.option("--prune", is_flag=True, help="Stop and remove what was applied and is declared no more.")
@click.option("--dry-run", is_flag=True, help="Show what differs and what would be done, and do nothing.")
@click.option("--locked", is_flag=True, help="Refuse what differs from the stack's lock.")
@as_json
@click.pass_obj
def command(session: Session, /, stack: str, *, prune: bool, dry_run: bool, locked: bool, as_json: bool) -> None:
    """Make a stack so: show what differs, admit the whole, and start, replace and remove what has to be.

    Nothing that works is stopped sooner than it has to be, and what does not become ready is undone. A stack that lists
    its hosts is made so on all of them. Exit codes are
    those of `up`: 2 stack or usage, 3 does not fit, 4 engine, port or name taken, 5 not ready, 6 mods, 7 a required
    check failed, 130 interrupted.
    """
    out, options = session.out, ApplyOptions(prune, dry_run, locked)
    on_hosts = for_hosts(session.world, [stack])
    if on_hosts is not None:
        apply_hosts.apply_on_hosts(session, on_hosts, options, as_json=as_json)
        return
    try:
        with out.reporting(as_json=as_json and not options.dry_run):
            ready = prepared(session.world, stack, options)
            if not as_json:
                tell(out, ready)
            if options.dry_run:
                effect.refuse_unfit(ready.plan)
                applied = None
                if not as_json:
                    tell_dry(out, ready)
            else:
                applied = carried_out(session.world, ready)
    except effect.StackRefusedError as error:
        planned_set.draw(out, error.plan)
        raise
    if as_json:
        out.json(row(ready, applied), indent=2 if options.dry_run else None)
    elif applied is not None:
        out.say(_ended(applied))


def _ended(applied: AppliedStack) -> str:
    number, name = applied.generation.number, applied.generation.stack
    if applied.already:
        return f"{name} is as declared: generation {number}"
    return f"{name} is applied: generation {number}"
