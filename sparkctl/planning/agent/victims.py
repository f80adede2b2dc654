"""The order in which the guard ends services when memory runs out. Pure.

First the service that is starting: it serves nobody yet, and it takes memory. Then the service that grew most beyond
its claim in the last ten seconds, unless its priority is the highest. Then by priority, the lowest first; within one
priority, services that may not be evicted (``keep``) come after the others, and the youngest first. Nobody is
protected.

A service that the applied stack does not declare has no place among its priorities: somebody started it by hand, on a
shared engine perhaps another operator, and nothing starts it again by itself. It comes after the stack's services,
but before those of the highest priority if the stack has several priorities; a choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.units import MIB, format_gib

if TYPE_CHECKING:
    from collections.abc import Sequence

GREW_BYTES: Final = 64 * MIB
"""The least growth that counts, a choice: two looks at an idle server differ by some MiB."""


class Candidate(NamedTuple):
    """A running service that the guard may end.

    ``grown_bytes`` is by how much its memory grew in the last ten seconds, and ``over_bytes`` by how much it exceeds
    its claim; None if not known. ``started_at`` is when its container was started (any clock, the same for all).
    ``declared``: the applied stack has it.
    """

    name: str
    priority: int
    keep: bool
    starting: bool
    started_at: float
    grown_bytes: int | None = None
    over_bytes: int | None = None
    declared: bool = True

    @property
    def grown_over_bytes(self) -> int:
        """By how much it grew beyond its claim in the last ten seconds; without a claim all that it grew counts."""
        grown = max(0, self.grown_bytes or 0)
        return grown if self.over_bytes is None else min(grown, max(0, self.over_bytes))


class Victim(NamedTuple):
    """A service that the guard may end, and the reason for its place in the order, in words."""

    name: str
    why: str


def victims(candidates: Sequence[Candidate]) -> list[Victim]:
    """Return all candidates, the first to be ended at the head."""
    priorities = {one.priority for one in candidates if one.declared} or {0}
    highest, lowest = max(priorities), min(priorities)
    loading = sorted((one for one in candidates if one.starting), key=_lowest_first)
    rest = [one for one in candidates if not one.starting]
    may_grow = [
        one
        for one in rest
        if one.grown_over_bytes >= GREW_BYTES and (not one.declared or one.priority < highest or lowest == highest)
    ]
    grown = max(may_grow, key=lambda one: one.grown_over_bytes, default=None)
    found = [Victim(one.name, "it is starting") for one in loading]
    if grown is not None:
        how = f"it grew by {format_gib(grown.grown_over_bytes)} beyond its claim in ten seconds"
        found.append(Victim(grown.name, how))
    last = highest if highest > lowest else highest + 1
    ordered = sorted(
        (one for one in rest if one is not grown), key=lambda one: (_stage(one, last), *_lowest_first(one))
    )
    return [*found, *(Victim(one.name, _place(one, lowest)) for one in ordered)]


def _lowest_first(one: Candidate) -> tuple[int, bool, float, str]:
    return one.priority, one.keep, -one.started_at, one.name


def _stage(one: Candidate, last: int) -> int:
    """Return a service's stage: stack services below ``last``, then undeclared ones, then the other stack services."""
    return 1 if not one.declared else 2 if one.priority >= last else 0


def _place(one: Candidate, lowest: int) -> str:
    if not one.declared:
        return "it was started by hand: the applied stack does not declare it"
    words = (
        f"its priority {one.priority} is the lowest" if one.priority == lowest else f"its priority is {one.priority}"
    )
    return f"{words}, and it is to be kept" if one.keep else words
