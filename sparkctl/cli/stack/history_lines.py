"""A generation in one line of a table, and what this operator applied to every host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.lazy import LazyModule
from sparkctl.cli.session import over_hosts
from sparkctl.cli.stack import generation_json
from sparkctl.operations.stack.generation_changes import REMOVED
from sparkctl.planning.box.generation import APPLIED

if TYPE_CHECKING:
    from sparkctl.cli.session import Session
    from sparkctl.operations.stack.generation_changes import ServiceChange
    from sparkctl.operations.stack.history import PastApply
    from sparkctl.operations.stack.over_hosts import rollback
else:
    rollback = LazyModule("sparkctl.operations.stack.over_hosts.rollback")

COLUMNS: Final = ("generation", "when (UTC)", "who", "stack", "outcome", "changed")


def list_of_all_hosts(session: Session, *, as_json: bool) -> None:
    """Show what was applied to each declared host; none of them is asked."""
    over_hosts(session)
    found = rollback.histories(session.world)
    if as_json:
        session.out.json([{"host": host, **generation_json.row(one)} for host, of in found.items() for one in of])
    elif not any(found.values()):
        session.out.say("nothing was applied to any host yet: sparkctl apply STACK")
    else:
        rows = [[host, *cells(one)] for host, of in found.items() for one in of]
        session.out.table(["host", *COLUMNS], rows)


def cells(one: PastApply) -> list[str]:
    """Return the cells of a generation, as ``COLUMNS`` has them."""
    of = one.generation
    return [str(of.number), one.when, of.who, of.stack, outcome(one), _changed(one)]


def _changed(one: PastApply) -> str:
    """Return what an apply changed; if nothing declared has changed, it was made because what ran differed."""
    if one.changes:
        return ", ".join(f"{change.service} {_kind(one, change)}" for change in one.changes)
    removed = f"{', '.join(one.removed)} removed" if one.removed else "what ran differed"
    return f"nothing declared: {removed}"


def _kind(one: PastApply, change: ServiceChange) -> str:
    """Return what was done to a service; a service that is no longer declared is removed by --prune alone."""
    left = change.kind == REMOVED and one.outcome == APPLIED and change.service not in one.removed
    return "declared no more (left as it was)" if left else change.kind


def outcome(one: PastApply) -> str:
    """Return how an apply ended, and for a rollback what it brought back."""
    back = one.generation.restores
    return one.outcome if back is None else f"{one.outcome}, back to {back}"
