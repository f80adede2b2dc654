"""``sparkctl apply``: make a stack so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base.lazy import LazyModule
from sparkctl.cli.memory import fitting
from sparkctl.cli.options import as_json, known_stacks
from sparkctl.cli.stack import diff as shown
from sparkctl.operations.stack.apply import ApplyOptions, carried_out, prepared
from sparkctl.planning.box.apply.acts import ActKind
from sparkctl.planning.box.apply.drift import DiffKind
from sparkctl.planning.box.declared import StartMode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.cli.output import Output
    from sparkctl.cli.session import Session
    from sparkctl.operations.stack import effect
    from sparkctl.operations.stack.apply import AppliedStack, Prepared
    from sparkctl.planning.box.apply.drift import ServiceDiff
else:
    effect = LazyModule("sparkctl.operations.stack.effect")


@click.command
@click.argument("stack", shell_complete=known_stacks)
@click.option("--prune", is_flag=True, help="Stop and remove what was applied and is declared no more.")
@click.option("--dry-run", is_flag=True, help="Show what differs and what would be done, and do nothing.")
@click.option("--locked", is_flag=True, help="Refuse what differs from the stack's lock.")
@as_json
@click.pass_obj
def command(session: Session, /, stack: str, *, as_json: bool, **switches: bool) -> None:
    """Make a stack so: show what differs, admit the whole, and start, replace and remove what has to be.

    Nothing that works is stopped sooner than it has to be, and what does not become ready is undone. Exit codes are
    those of `up`: 2 stack or usage, 3 does not fit, 4 engine, port or name taken, 5 not ready, 6 mods, 7 a required
    check failed, 130 interrupted.
    """
    out, options = session.out, ApplyOptions(**switches)
    try:
        with out.reporting(as_json=as_json and not options.dry_run):
            ready = prepared(session.world, stack, options)
            if not as_json:
                _tell(out, ready)
            if options.dry_run:
                _refused(ready)
                applied = None
                if not as_json:
                    _tell_dry(out, ready)
            else:
                applied = carried_out(session.world, ready)
    except effect.StackRefusedError as error:
        fitting.draw(out, error.plan)
        raise
    if as_json:
        out.json(_row(ready, applied), indent=2 if options.dry_run else None)
    elif applied is not None:
        out.say(_ended(applied))


def _refused(ready: Prepared) -> None:
    if not ready.plan.fits:
        raise effect.StackRefusedError(ready.plan)


def _tell(out: Output, ready: Prepared) -> None:
    """Print what differs, and what is done about it, in its order."""
    for line in shown.lines(ready.diff):
        out.result(line)
    out.say(shown.summary(ready.diff))
    for line in _steps(ready):
        out.result(line)
    unstarted = [f"{one.name} (start: {one.start})" for one in ready.diff.services if _waits(one)]
    if unstarted:
        out.say(f"not started by an apply: {', '.join(unstarted)}")
    if ready.plan.stuck:
        out.warn(ready.plan.stuck)
    if ready.left:
        out.say(f"left as they are, and declared no more (--prune removes them): {', '.join(ready.left)}")


def _waits(one: ServiceDiff) -> bool:
    """Return whether a service is new, and starts by hand or when it is asked: nothing is done about it now."""
    return DiffKind.ADDED in one.kinds and not one.state and one.start != StartMode.ALWAYS


def _tell_dry(out: Output, ready: Prepared) -> None:
    """Print what an apply would meet, and that this was none."""
    for image in ready.fetched:
        out.say(f"{image} is not here: it would be fetched")
    for line in fitting.memories(ready.plan.plan):
        out.say(line)
    out.say("nothing was done: this was a dry run")


def _steps(ready: Prepared) -> Iterator[str]:
    """Yield what is done, by number; of a service that waits for another one that is started, for which."""
    acts = ready.plan.acts
    starts = {name for act in acts if act.kind is not ActKind.REMOVE for name in act.services}
    after = {
        one.name: [name for name in one.declared.after if name in starts] for one in ready.effect.generation.services
    }
    for place, act in enumerate(acts, 1):
        told = [f"{name} (after {', '.join(waits)})" if (waits := after.get(name)) else name for name in act.services]
        yield f"{place}. {act.kind} {', '.join(told)}"


def _ended(applied: AppliedStack) -> str:
    number, name = applied.generation.number, applied.generation.stack
    if applied.already:
        return f"{name} is as declared: generation {number}"
    return f"{name} is applied: generation {number}"


def _row(ready: Prepared, applied: AppliedStack | None) -> dict[str, object]:
    acts = ready.plan.acts if applied is None else applied.acts
    return {
        "stack": ready.diff.stack,
        "generation": None if applied is None else applied.generation.number,
        "already": ready.as_declared if applied is None else applied.already,
        "acts": [{"act": str(act.kind), "services": list(act.services)} for act in acts],
        "left": list(ready.left),
        "fetched": list(ready.fetched),
        "diff": shown.row(ready.diff),
    }
