"""The desk: what becomes of each request, and which services come and go for it. Pure.

``step`` takes the desk, one event and the time, and returns the desk after it and what is to be done. It has no clock,
no connection and no bytes: memory is asked by an effect (``LookAtMemory``), and the look comes back as an event.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.planning.gateway.effects import DeskEffect
    from sparkctl.planning.gateway.events import DeskEvent
    from sparkctl.planning.gateway.request import DeskRequest
    from sparkctl.planning.gateway.room import MakingRoom
    from sparkctl.planning.gateway.service import DeskService


@dataclass(frozen=True, slots=True)
class Desk:
    """The desk at one moment. ``now`` of all times is in seconds on a clock that only runs forward.

    ``closed`` is why no start is admitted, "" while they are. ``looking_at`` is since when a look at the memory is
    awaited, None for none; ``look_again_at`` is when it is worth another one. ``making`` is for whom room is made.
    """

    services: Mapping[str, DeskService] = field(default_factory=lambda: MappingProxyType({}))
    requests: Mapping[str, DeskRequest] = field(default_factory=lambda: MappingProxyType({}))
    closed: str = ""
    making: MakingRoom | None = None
    looking_at: float | None = None
    look_again_at: float = 0.0
    look_why: str = ""
    others_start: str = ""


class DeskStep(NamedTuple):
    """The desk after an event, and what is to be done, in this order."""

    desk: Desk
    effects: tuple[DeskEffect, ...]


def step(desk: Desk, event: DeskEvent, now: float) -> DeskStep:
    """Return what follows from an event. Unknown names in events are none of the desk's and change nothing."""
    raise NotImplementedError
