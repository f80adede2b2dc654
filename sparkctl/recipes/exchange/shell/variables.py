"""The variables of a script while it is read: a value, a list, or unknown because two branches differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.recipes.exchange.launch import Word
from sparkctl.recipes.exchange.material import unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

Value = str | tuple[Word, ...]


class Doubt(NamedTuple):
    """Why a variable has no value: it is set in a branch of the script that may not be taken."""

    name: str
    line: int


class Variables:
    """The assignments. ``begin`` opens a branch that may not be taken, ``end`` closes it and returns what it set."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._now: dict[str, Value] = dict(given)
        self._before: list[dict[str, Value | None]] = []
        self.doubts: dict[str, Doubt] = {}

    def get(self, name: str) -> Value | None:
        """Return the value, None where nothing has assigned one."""
        return self._now.get(name)

    def set(self, name: str, value: Value) -> None:
        """Assign."""
        self._note(name)
        self._now[name] = value

    def unset(self, name: str) -> None:
        """Take a value away."""
        self._note(name)
        self._now.pop(name, None)

    def _note(self, name: str) -> None:
        if self._before:
            self._before[-1].setdefault(name, self._now.get(name))

    def begin(self) -> None:
        """Open a way of the script."""
        self._before.append({})

    def end(self) -> dict[str, Value | None]:
        """Close the way, undo what it assigned, and return that."""
        before = self._before.pop()
        after = {name: self._now.get(name) for name in before}
        for name, value in before.items():
            self._put(name, value)
        return after

    def _put(self, name: str, value: Value | None) -> None:
        if value is None:
            self._now.pop(name, None)
        else:
            self._now[name] = value

    def take(self, assigned: Mapping[str, Value | None]) -> None:
        """Apply the assignments of a branch that is certainly taken."""
        for name, value in assigned.items():
            self._note(name)
            self._put(name, value)

    def merge(self, ways: list[dict[str, Value | None]], line: int) -> None:
        """Apply the assignments of alternative branches: a variable in which they differ is unknown from here on."""
        for name in {name: None for way in ways for name in way}:
            now = self._now.get(name)
            found = {way.get(name, now) for way in ways}
            self._note(name)
            if len(found) == 1:
                self._put(name, found.pop())
            else:
                self._now[name] = unknown(name)
                self.doubts[name] = Doubt(name, line)
