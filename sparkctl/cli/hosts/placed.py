"""A stack over its hosts, as a table: what each host has, and which service goes where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.base.units import format_gib
from sparkctl.cli.hosts import placed_json
from sparkctl.cli.session import over_hosts
from sparkctl.operations.stack.over_hosts import plan
from sparkctl.operations.stack.over_hosts.placing import PlacedAction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.cli.output import Output
    from sparkctl.cli.session import Session
    from sparkctl.operations.stack.over_hosts.placing import PlacedHost, PlacedStack
    from sparkctl.recipes.stack import LoadedStack

_HEADERS: Final = ["host", "service", "holds at most", "while it starts", "what becomes of it"]
_WORDS: Final = {
    PlacedAction.STAYS: "stays as it is",
    PlacedAction.STARTS: "starts",
    PlacedAction.CHANGES: "is replaced",
    PlacedAction.RUNS: "runs; is replaced if it differs",
    PlacedAction.ASLEEP: "runs when it is asked for",
    PlacedAction.UNSEEN: "not known: its host does not answer",
    PlacedAction.REFUSED: "has no place",
}


def planned(
    session: Session, stack: LoadedStack | None, names: Sequence[str], others: Sequence[str], *, as_json: bool
) -> None:
    """Plan over several hosts, and show it: a stack that lists its hosts, or (None) the named recipes over all hosts.

    ``others`` are options that have no meaning then.

    Raises:
        InputError: such an option was given, or what is named cannot be used.
        StackHasNoPlaceError: not each service has a host.
    """
    stack = plan.over_all(session.world, names) if stack is None else stack
    if others:
        message = f"over several hosts there is no {', '.join(others)}"
        raise InputError(message, hint="a stack says it all: set, names, hosts")
    over_hosts(session, stack.stack.hosts)
    found = plan.plan_over_hosts(session.world, stack)
    if as_json:
        session.out.json(placed_json.row(found))
    else:
        show(session.out, found)
    if not found.fits:
        raise plan.StackHasNoPlaceError(found)


def show(out: Output, placed: PlacedStack) -> None:
    """Print a line for each host, and a table of the services by their hosts."""
    for host in placed.hosts:
        out.result(f"{host.name}: {_memory(host)}")
    out.result()
    rows = [row for host in placed.hosts for row in _rows(placed, host)]
    nowhere = [one.service for one in placed.placement.refused if one.service not in placed.placement.where]
    out.table(_HEADERS, [*rows, *(["-", *_cells(placed, name, 0)] for name in nowhere)])
    for name, services in placed.absent.items():
        out.warn(f"{name}: no model there for {', '.join(services)} → {placed.bringing(name, services)}")
    for host in placed.hosts:
        if host.why is not None:
            out.warn(host.why.message + (f" → {host.why.hint}" if host.why.hint else ""))


def _memory(host: PlacedHost) -> str:
    if host.seen is None:
        return "does not answer: what it is known to run stays, and it gets nothing new"
    pool = host.seen.pool
    free, whole, kept = map(format_gib, (pool.available_bytes, pool.total_bytes, pool.reserve_bytes))
    return f"{free} available of {whole}, {kept} kept in reserve"


def _rows(placed: PlacedStack, host: PlacedHost) -> Iterator[list[str]]:
    for name in host.services:
        yield [host.name, *_cells(placed, name, placed.placement.where[name].index(host.name))]


def _cells(placed: PlacedStack, name: str, rank: int) -> list[str]:
    wanted = placed.wanted[name]
    shown = f"{name} (rank {rank})" if len(wanted) > 1 else name
    of = wanted[rank]
    return [shown, format_gib(of.steady_bytes), format_gib(max(of.peak_bytes, of.steady_bytes)), _told(placed, name)]


def _told(placed: PlacedStack, name: str) -> str:
    action = placed.action(name)
    if action is not PlacedAction.MOVES:
        return _WORDS[action]
    return f"moves here from {', '.join(host.name for host in placed.hosts if name in host.leaves)}"
