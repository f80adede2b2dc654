"""What the agent does next: the declared box, what is seen of it, what happened, and now. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.planning.box.declared import DeclaredService
    from sparkctl.planning.box.past import Past
    from sparkctl.planning.box.seen import BoxAction, BoxSeen, ServiceWords


class Decision(NamedTuple):
    """What is done now, what is to be remembered, and where each declared service stands, in their order.

    ``next_s`` is after how many seconds the box is looked at again at the latest. At most one of the actions is long.
    """

    actions: tuple[BoxAction, ...]
    past: Past
    next_s: float
    words: tuple[ServiceWords, ...]


def decide(declared: Sequence[DeclaredService], seen: BoxSeen, past: Past, now: float, jitter: float) -> Decision:
    """Return what is done about a box.

    ``now`` is in seconds on a clock that only runs forward within one boot (CLOCK_MONOTONIC); ``jitter`` is anything
    from -1 to 1, by which waits are made up to a quarter shorter or longer. Asked again with the same and the past
    that it returned, it does nothing more.
    """
    raise NotImplementedError
