"""Figures from what happened on the box: restarts, how long starts took, what the guard did. Values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.operations.page.view import BoxView, HappenedOnPage

_BEGINS: Final = frozenset({"start", "asked"})
"""Events with which a start begins: the agent's, and the desk's."""
_FAILED: Final = "backing-off"
_RUNS: Final = "running"


class NewRestart(NamedTuple):
    """A service is started again after an end that nobody asked for."""

    service: str


class NewStart(NamedTuple):
    """A start has ended well, after so many seconds. ``old``: it is of before the first look."""

    service: str
    seconds: float
    old: bool = False


class NewGuardAction(NamedTuple):
    """The guard did something: ask, kill, clean, nothing."""

    did: str


class HappenedBefore:
    """Knows what was told already. What happened before the first look is no news, but for how long starts took."""

    def __init__(self) -> None:
        self._events: frozenset[HappenedOnPage] | None = None
        self._guard: frozenset[tuple[float, str]] | None = None
        self._failed: set[str] = set()
        self._began: dict[str, float] = {}

    def news(self, view: BoxView) -> Iterator[NewRestart | NewStart | NewGuardAction]:
        """Yield what is new in a view, in the order in which it happened."""
        before, self._events = self._events, frozenset(view.happened)
        for one in sorted(self._events - (before or frozenset()), key=lambda one: one.at):
            yield from self._event(one, old=before is None)
        acted, self._guard = self._guard, frozenset(view.guard.actions)
        if acted is not None:
            for _, did in sorted(self._guard - acted):
                yield NewGuardAction(did)

    def _event(self, one: HappenedOnPage, *, old: bool) -> Iterator[NewRestart | NewStart]:
        name = one.service
        if one.kind == _FAILED:
            self._failed.add(name)
        elif one.kind in _BEGINS:
            self._began[name] = one.at
            if name in self._failed and not old:
                yield NewRestart(name)
            self._failed.discard(name)
        elif one.kind == _RUNS:
            began = self._began.pop(name, None)
            self._failed.discard(name)
            if began is not None:
                yield NewStart(name, max(0.0, one.at - began), old)
