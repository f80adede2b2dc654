"""In which order the guard ends services when memory runs out. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Candidate(NamedTuple):
    """A running service that the guard may end.

    ``grown_bytes`` is what it holds now more than ten seconds ago, and ``over_bytes`` what it holds beyond its claim;
    None is not known. ``started_at`` is when its container was started (any clock, the same for all).
    """

    name: str
    priority: int
    keep: bool
    starting: bool
    started_at: float
    grown_bytes: int | None = None
    over_bytes: int | None = None


class Victim(NamedTuple):
    """A service that the guard may end, and why it stands at its place, in words."""

    name: str
    why: str


def victims(candidates: Sequence[Candidate]) -> list[Victim]:
    """Return all of them, the one that is ended first at the head."""
    raise NotImplementedError
