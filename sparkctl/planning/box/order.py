"""The order that `after` gives to services, and circles of services in which none could begin. Pure."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence


class Startable(Protocol):
    """A service to be ordered."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def priority(self) -> int:
        """The higher priority first, among those that may begin."""

    @property
    def after(self) -> Collection[str]:
        """The names of services that have to be ready before it begins; names of other services do not count."""


R = TypeVar("R", bound=Startable)


def start_order(services: Iterable[R]) -> list[R]:
    """Return the services in the order in which they start.

    Each comes behind those that it is ``after``; among those that may begin, by the higher priority, then as given.
    Services in a circle, which no stack has, come last.
    """
    given = sorted(services, key=lambda one: -one.priority)
    return in_order(given)


def in_order(services: Sequence[R]) -> list[R]:
    """Return the services in the given order, except that each waits for the ones that it comes after."""
    place = {one.name: number for number, one in enumerate(services)}
    waits = Counter({one.name: len(set(one.after) & place.keys()) for one in services})
    later: dict[str, list[str]] = defaultdict(list)
    for one in services:
        for name in set(one.after) & place.keys():
            later[name].append(one.name)
    ready = [place[one.name] for one in services if not waits[one.name]]
    heapq.heapify(ready)
    found: list[R] = []
    while ready:
        one = services[heapq.heappop(ready)]
        found.append(one)
        for name in later[one.name]:
            waits[name] -= 1
            if not waits[name]:
                heapq.heappush(ready, place[name])
    there = {one.name for one in found}
    return [*found, *(one for one in services if one.name not in there)]


def is_in_order(services: Iterable[Startable]) -> bool:
    """Return whether none of the services comes before one that it is after."""
    given = list(services)
    place = {one.name: number for number, one in enumerate(given)}
    return all(place[name] < number for number, one in enumerate(given) for name in one.after if name in place)


def circles(after: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """Return circles of services that wait for each other; no service is in two of them.

    ``after`` are the names that each service waits for. Each circle begins with its first service in the given order.
    When all of them are broken, there may be further ones. A service that waits for itself is a circle of one.
    """
    place = {name: number for number, name in enumerate(after)}
    ahead = {name: names[0] for name, names in _blocked(after).items()}
    seen: dict[str, str] = {}
    found = []
    for start in ahead:
        name = start
        while name not in seen:
            seen[name] = start
            name = ahead[name]
        if seen[name] == start:
            found.append(_round(name, ahead, place))
    return sorted(found, key=lambda circle: place[circle[0]])


def _round(name: str, ahead: Mapping[str, str], place: Mapping[str, int]) -> tuple[str, ...]:
    """Return the circle that a service is in, beginning with its first service in the given order."""
    circle = [name]
    while (following := ahead[circle[-1]]) != name:
        circle.append(following)
    first = min(range(len(circle)), key=lambda number: place[circle[number]])
    return (*circle[first:], *circle[:first])


def _blocked(after: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the services that can never begin (in a circle or behind one), and for which of these each waits."""
    waits = {name: {one for one in names if one in after} for name, names in after.items()}
    later: dict[str, list[str]] = defaultdict(list)
    for name, names in waits.items():
        for one in names:
            later[one].append(name)
    free = [name for name, names in waits.items() if not names]
    while free:
        begun = free.pop()
        for name in later[begun]:
            waits[name].discard(begun)
            if not waits[name]:
                free.append(name)
    return {name: [one for one in after[name] if waits.get(one)] for name in after if waits[name]}
