"""``sparkctl apply`` of a stack that lists its hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.base.lazy import LazyModule
from sparkctl.cli.hosts import placed_json
from sparkctl.cli.hosts.placed import show
from sparkctl.cli.memory import planned_set
from sparkctl.cli.session import over_hosts
from sparkctl.cli.stack.applying import row, tell, tell_dry
from sparkctl.operations.stack.over_hosts import plan
from sparkctl.operations.stack.over_hosts.apply import carried_out, prepared, refuse_unfit, refuse_unseen

if TYPE_CHECKING:
    from sparkctl.cli.output import Output
    from sparkctl.cli.session import Session
    from sparkctl.operations.stack import effect
    from sparkctl.operations.stack.apply import ApplyOptions
    from sparkctl.operations.stack.over_hosts.apply import AppliedHosts, PreparedHosts
    from sparkctl.recipes.stack import LoadedStack
else:
    effect = LazyModule("sparkctl.operations.stack.effect")


def apply_on_hosts(session: Session, stack: LoadedStack, options: ApplyOptions, *, as_json: bool) -> None:
    """Make a stack so on its hosts, and show what was done where.

    Raises:
        SparkctlError: as for ``carried_out``; or a host did not answer, and the others are as declared.
    """
    out = session.out
    over_hosts(session, stack.stack.hosts)
    try:
        with out.reporting(as_json=as_json and not options.dry_run), prepared(session.world, stack, options) as ready:
            if not as_json:
                show(out, ready.placed)
                _tell(out, ready, options)
            if options.dry_run:
                refuse_unfit(ready)
            applied = None if options.dry_run else carried_out(ready)
    except plan.StackHasNoPlaceError as error:
        if not as_json:
            show(out, error.placed)
        raise
    except effect.StackRefusedError as error:
        planned_set.draw(out, error.plan)
        raise
    if as_json:
        out.json(_row(ready, applied), indent=2 if options.dry_run else None)
    elif applied is not None:
        numbers = ", ".join(f"{host}: generation {one.number}" for host, one in applied.generations.items())
        out.say(f"{stack.name} is {'as declared' if applied.already else 'applied'}: {numbers or 'no host has a part'}")
    refuse_unseen(ready)


def _tell(out: Output, ready: PreparedHosts, options: ApplyOptions) -> None:
    """Print for each host what differs, and what is done about it."""
    for part in ready.parts:
        if not part.ready.diff.same or part.ready.plan.acts:
            out.result()
            out.result(f"{part.name}:")
        tell(out, part.ready, f"{part.name}: ")
        if options.dry_run:
            tell_dry(out, part.ready, f"{part.name}: ")


def _row(ready: PreparedHosts, applied: AppliedHosts | None) -> dict[str, object]:
    kept = {} if applied is None else applied.generations
    return {
        "stack": ready.placed.stack.name,
        "already": ready.as_declared if applied is None else applied.already,
        "placed": placed_json.row(ready.placed),
        "acts": [
            {"host": one.host, "act": str(one.act.kind), "services": list(one.act.services)}
            for one in ([] if applied is None else applied.acts)
        ],
        "hosts": {
            part.name: {**row(part.ready, None), "generation": kept[part.name].number if part.name in kept else None}
            for part in ready.parts
        },
        "unseen": list(ready.unseen),
    }
