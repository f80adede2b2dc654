"""Progress of starts that run at the same time: the newest message of each, until there are no more. Pure."""

from __future__ import annotations

from typing import Final, Generic, NamedTuple, TypeVar

_MISSED: Final = 3
"""A watcher of several starts reports each in turn. If another start was reported this often since the last message of
a start, that start is over. In one turn a start may have two messages: it is created, and looked at."""

T = TypeVar("T")


class _Newest(NamedTuple, Generic[T]):
    """The newest message of a start, and how often each other start was reported since."""

    told: T
    since: dict[str, int]


class AtOnce(Generic[T]):
    """The last message of each running start, by its service, in the order in which they began."""

    def __init__(self) -> None:
        self._told: dict[str, _Newest[T]] = {}

    def tell(self, service: str, newest: T) -> None:
        """Take a message about a start."""
        for name, other in list(self._told.items()):
            if name != service:
                other.since[service] = other.since.get(service, 0) + 1
                if other.since[service] >= _MISSED:
                    del self._told[name]
        self._told[service] = _Newest(newest, {})

    def newest(self, service: str) -> T | None:
        """Return the last message about a running start, None if there was none."""
        told = self._told.get(service)
        return None if told is None else told.told

    def said(self, text: str) -> None:
        """Take that something else was said: of one start alone, or one that is named first, it is told anew."""
        for name in [name for name in self._told if len(self._told) == 1 or text.startswith(f"{name}: ")]:
            del self._told[name]

    @property
    def all(self) -> list[T]:
        """Return the last message of each."""
        return [one.told for one in self._told.values()]
