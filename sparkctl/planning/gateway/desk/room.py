"""The desk's question to admission, so that it handles no bytes: would these fit if those were gone? Values."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable


class DeskRoom(NamedTuple):
    """Whether they fit. ``sum`` returns why not, in several lines; it is called only if somebody is told."""

    fits: bool
    sum: Callable[[], str] = str

    @property
    def words(self) -> str:
        """The sum in words."""
        return self.sum()


Fits: TypeAlias = "Callable[[frozenset[str], tuple[str, ...]], DeskRoom]"
"""``fits(going, coming)``: with the services ``going`` away, are ``coming`` admitted, one after the other?"""


class MakingRoom(NamedTuple):
    """Services that go so that another one can come.

    ``victims`` are all stopped at once, when none of them has a request in flight; ``stopping``: they are being
    stopped. ``words`` is the sum. ``gone_at`` is when the last of them had ended, None before: memory may come back
    later than that.
    """

    coming: str
    victims: frozenset[str]
    words: str = ""
    stopping: bool = False
    gone_at: float | None = None
