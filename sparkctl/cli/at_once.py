"""What is told of starts that go on at once: the newest of each, until it is told of no more. Pure."""

from __future__ import annotations

from typing import Final, Generic, NamedTuple, TypeVar

_MISSED: Final = 3
"""Whoever watches several starts tells of each in turn: of one that another is told of three times since, no more is
told. Between two turns there may be a second word of the same start: it is created, and looked at."""

T = TypeVar("T")


class _Newest(NamedTuple, Generic[T]):
    """The newest of a start, and how often each other one was told of since."""

    told: T
    since: dict[str, int]


class AtOnce(Generic[T]):
    """What was told last of each start that goes on, by its service, in the order in which they began."""

    def __init__(self) -> None:
        self._told: dict[str, _Newest[T]] = {}

    def tell(self, service: str, newest: T) -> None:
        """Take what is told of a start."""
        for name, other in list(self._told.items()):
            if name != service:
                other.since[service] = other.since.get(service, 0) + 1
                if other.since[service] >= _MISSED:
                    del self._told[name]
        self._told[service] = _Newest(newest, {})

    def newest(self, service: str) -> T | None:
        """Return what was told last of a start that goes on; None: nothing was."""
        told = self._told.get(service)
        return None if told is None else told.told

    def said(self, text: str) -> None:
        """Take that something else was said: of one start alone, or one that is named first, it is told anew."""
        for name in [name for name in self._told if len(self._told) == 1 or text.startswith(f"{name}: ")]:
            del self._told[name]

    @property
    def all(self) -> list[T]:
        """What was told last of each."""
        return [one.told for one in self._told.values()]
