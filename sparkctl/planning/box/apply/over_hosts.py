"""The order in which several hosts act to put one stack into effect. Pure.

Each host has its own acts, in an order that its memory allows. A service is started before its old instance on another
host is ended, so that a service that moves answers meanwhile; the old one ends first only if a host has no room before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.planning.box.apply.acts import Act, ActKind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


class HostAct(NamedTuple):
    """The next act, and its host."""

    host: str
    act: Act


class Sequenced(NamedTuple):
    """The acts on all hosts: ``first`` everything that a host cannot do later, and ``last`` what only ends services."""

    first: tuple[HostAct, ...]
    last: tuple[HostAct, ...]


def sequenced(acts: Mapping[str, Sequence[Act]], after: Mapping[str, Collection[str]]) -> Sequenced:
    """Return the order; ``after`` gives, by a service's name, those that have to be ready before it starts.

    Hosts that end nothing before they start go first, and then by their names. A wave of starts is divided if a part of
    it waits for another host. If no host could go on, the first one does: its own order is the one that has room.
    """
    heads = {host: _head(own) for host, own in acts.items()}
    tails = [HostAct(host, act) for host in sorted(acts) for act in acts[host][len(heads[host]) :]]
    left = {host: list(own) for host, own in sorted(heads.items(), key=_ends_first) if own}
    waiting = {name for own in left.values() for act in own if _starts(act) for name in act.services}
    found: list[HostAct] = []
    while left:
        first, own = next(iter(left.items()))
        able = (_next(host, own, after, waiting) for host, own in left.items())
        host, act = next(filter(None, able), (first, own[0]))
        found.append(HostAct(host, act))
        waiting -= set(act.services) if _starts(act) else set()
        rest = tuple(name for name in left[host][0].services if name not in act.services)
        left[host][:1] = [left[host][0]._replace(services=rest)] if rest else []
        left = {host: own for host, own in left.items() if own}
    return Sequenced(tuple(found), tuple(tails))


def _next(
    host: str, own: Sequence[Act], after: Mapping[str, Collection[str]], waiting: Collection[str]
) -> tuple[str, Act] | None:
    """Return what a host can do next, None while it waits for another host."""
    act = own[0]
    if not _starts(act):
        return host, act
    ready: list[str] = []
    for name in act.services:
        if all(one in ready or one not in waiting for one in after.get(name, ())):
            ready.append(name)
    return (host, act._replace(services=tuple(ready))) if ready else None


def _starts(act: Act) -> bool:
    return act.kind is not ActKind.REMOVE


def _head(own: Sequence[Act]) -> list[Act]:
    """Return the acts of a host up to the last start."""
    starts = [place for place, act in enumerate(own) if _starts(act)]
    return list(own[: starts[-1] + 1]) if starts else []


def _ends_first(one: tuple[str, Sequence[Act]]) -> tuple[bool, str]:
    host, own = one
    return any(act.kind is ActKind.REMOVE for act in own), host
