"""``sparkctl plan``: whether a set fits, and what ``up`` would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparkctl.base import units
from sparkctl.base.errors import DoesNotFitError
from sparkctl.base.lazy import LazyModule
from sparkctl.cli.memory import plan_json, planned_set
from sparkctl.cli.options import as_json, named, names, overrides, strict
from sparkctl.memory.pool import HOST
from sparkctl.operations.memory.plan import SetDoesNotFitError, plan
from sparkctl.operations.stack.over_hosts.asked import for_hosts
from sparkctl.planning.plan import describe

if TYPE_CHECKING:
    from sparkctl.cli.hosts import placed
    from sparkctl.cli.output import Output
    from sparkctl.cli.session import Session
    from sparkctl.memory.pool import Pool
    from sparkctl.operations.memory.plan import PlannedSet
    from sparkctl.recipes.service import Service
else:
    placed = LazyModule("sparkctl.cli.hosts.placed")


@click.command
@names
@named
@overrides
@strict
@click.option("--replace", is_flag=True, help="Plan to replace what has changed: its recipe, image or secrets.")
@click.option("--fit", is_flag=True, help="Take the first smaller setting with which the set fits, and say which.")
@click.option("--host", metavar="NAME|FILE", help="Plan for a described machine, such as gb10-119 or gb10-121.")
@click.option("--all-hosts", is_flag=True, help="Over all hosts of hosts.yaml: which of them runs what.")
@as_json
@click.pass_context
def command(
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    overrides: tuple[str, ...],
    host: str | None,
    named: str | None,
    all_hosts: bool,
    **switches: bool,
) -> None:
    """Show whether recipes or stacks fit beside what runs, and what `up` would do. Touches nothing.

    With --host nothing is asked of this machine or its engine. Of a stack that lists its hosts, and with --all-hosts,
    it shows which host runs what. Exits 3 when the set does not fit.
    """
    session: Session = ctx.obj
    given = {"--set": overrides, "--as": named, "--fit": switches["fit"], "--host FILE": host}
    others = [option for option, value in given.items() if value]
    stack = None if all_hosts else for_hosts(session.world, names)
    if all_hosts or stack is not None:
        placed.planned(session, stack, names, others, as_json=switches["as_json"])
        return
    asked = planned_set.asked(ctx, names, overrides, named, switches)
    with session.out.reporting():
        planned = plan(session.world, asked, host=host, fit=switches["fit"])
    if switches["as_json"]:
        session.out.json(plan_json.row(planned))
    else:
        _show(session.out, planned)
    if not planned.plan.fits and switches["as_json"]:
        raise DoesNotFitError("the set does not fit")
    if not planned.plan.fits:
        planned_set.draw(session.out, planned.plan)
        raise SetDoesNotFitError(planned, fit=switches["fit"] and planned.took is None)


def _show(out: Output, planned: PlannedSet) -> None:
    plan = planned.plan
    cards = plan.pool.has_cards
    rows = [
        [
            service.name,
            units.format_gib(_bytes_of(service, "weights")),
            units.format_gib(service.footprint.kv_bytes),
            *(_places(service, plan.pool) if cards else [units.format_gib(service.expected.steady_bytes)]),
            units.format_gib(service.expected.bound_bytes),
            units.format_gib(service.expected.peak_bound_bytes),
            service.expected.known,
        ]
        for service in planned.services
    ]
    holds = ["on", "holds there", "of the host"] if cards else ["holds"]
    out.table(["service", "weights", "KV cache", *holds, "at most", "while it starts", "known"], rows)
    out.result()
    for line in planned_set.memories(plan):
        out.result(line)
    for line in planned.strangers:
        out.result(line)
    if plan.fits:
        out.result()
        headers = ["step", "action", "service", "left free (GiB)", "beyond vLLM's check (GiB)"]
        out.table([*headers, *(["least of"] if cards else [])], describe(plan))
        out.result("fits" if plan.order else "nothing to start")
    for line in (*planned.aside, *plan.doubts, *planned.obstacles):
        out.warn(line)


def _places(service: Service, pool: Pool) -> list[str]:
    """Return where a service goes, and what it holds on each GPU and in the host's memory."""
    parts = service.wanted.need.parts(pool)
    on = [memory for memory in parts if memory != HOST]
    host = parts[HOST].steady_bytes if HOST in parts else None
    return [
        ", ".join(pool.words(memory) for memory in on) or pool.words(HOST),
        units.format_gib(parts[on[0]].steady_bytes) if on else "-",
        "not counted" if host is None else units.format_gib(host),
    ]


def _bytes_of(service: Service, name: str) -> int:
    return sum(item.bytes for item in service.expected.items if item.name == name)
