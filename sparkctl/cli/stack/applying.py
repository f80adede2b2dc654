"""The display of an apply: what differs, what is done about it in its order, and the result of a dry run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.cli.memory import planned_set
from sparkctl.cli.stack import diff_lines as shown
from sparkctl.planning.box.apply.acts import ActKind
from sparkctl.planning.box.apply.drift import DiffKind
from sparkctl.planning.box.declared import StartMode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.cli.output import Output
    from sparkctl.operations.stack.apply import AppliedStack, Prepared
    from sparkctl.planning.box.apply.drift import ServiceDiff


def tell(out: Output, ready: Prepared, of: str = "") -> None:
    """Print what differs, and what is done about it, in its order; ``of`` names the host, where there are several."""
    for line in shown.lines(ready.diff):
        out.result(line)
    out.say(of + shown.summary(ready.diff))
    for line in _steps(ready):
        out.result(line)
    unstarted = [f"{one.name} (start: {one.start})" for one in ready.diff.services if _waits(one)]
    if unstarted:
        out.say(f"{of}not started by an apply: {', '.join(unstarted)}")
    if ready.plan.stuck:
        out.warn(ready.plan.stuck)
    if ready.left:
        out.say(f"{of}left as they are, and declared no more (--prune removes them): {', '.join(ready.left)}")


def _waits(one: ServiceDiff) -> bool:
    """Return whether a service is new, and starts by hand or on demand: nothing is done about it now."""
    return DiffKind.ADDED in one.kinds and not one.state and one.start != StartMode.ALWAYS


def tell_dry(out: Output, ready: Prepared, of: str = "") -> None:
    """Print what an apply would meet, and that this was only a dry run."""
    for image in ready.fetched:
        out.say(f"{of}{image} is not here: it would be fetched")
    for line in planned_set.memories(ready.plan.plan):
        out.say(of + line)
    out.say(f"{of}nothing was done: this was a dry run")


def _steps(ready: Prepared) -> Iterator[str]:
    """Yield what is done, by number; for a service that waits for another one's start, also which one."""
    acts = ready.plan.acts
    starts = {name for act in acts if act.kind is not ActKind.REMOVE for name in act.services}
    after = {
        one.name: [name for name in one.declared.after if name in starts] for one in ready.effect.generation.services
    }
    for place, act in enumerate(acts, 1):
        told = [f"{name} (after {', '.join(waits)})" if (waits := after.get(name)) else name for name in act.services]
        yield f"{place}. {act.kind} {', '.join(told)}"


def row(ready: Prepared, applied: AppliedStack | None) -> dict[str, object]:
    """Return it for a program; ``applied`` is None where nothing was done."""
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
