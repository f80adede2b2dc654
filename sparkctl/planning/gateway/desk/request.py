"""A request at the desk, from its arrival until it is answered. Values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sparkctl.planning.box.gateway_defaults import USUAL

WAIT_S: Final = USUAL.wait_s
"""How long a request waits at most (seconds), unless the gateway's stack sets it."""


class RequestPlace(StrEnum):
    """Where a request is.

    ``waiting``: for a service that is not there, or for its turn at a service that is busy with as many as it may
    answer. ``served``: it was handed to the service. ``resting``: also handed over, but nothing is under way on it: an
    idle websocket, which does not count as use of a service (llama-swap had to add `ignoreWebsockets`).
    """

    WAITING = "waiting"
    SERVED = "served"
    RESTING = "resting"


@dataclass(frozen=True, slots=True)
class DeskRequest:
    """A request that asks for a service. Times are on the clock of ``now``, durations in seconds.

    ``may_start``: its key and its route allow starting a service for it. ``stream``: meanwhile it is told what it waits
    for, so it may wait longer than ``wait_s`` for a start that is under way.
    ``keeps``: it counts as use of its service; a request that does not (a tokenize: clients ask every model for it, see
    goniz/opencode-local-provider#14) takes no place, starts nothing, and keeps nothing running.
    ``sent``: a server had it, and broke off without an answer. The client is told what became of that server, and the
    request is never handed on again: nobody knows what was done with it.
    Among requests for the same service the higher ``priority`` is first, then the earlier one.
    """

    id: str
    service: str
    stream: bool = False
    may_start: bool = True
    keeps: bool = True
    sent: bool = False
    priority: int = 0
    wait_s: float = WAIT_S
    at: float = 0.0
    place: RequestPlace = RequestPlace.WAITING
    served_at: float | None = None
    first_byte_at: float | None = None
    told_at: float | None = None

    @property
    def until(self) -> float:
        """How long it waits at most."""
        return self.at + self.wait_s

    @property
    def turn(self) -> tuple[int, float]:
        """The key by which requests for the same service are sorted."""
        return -self.priority, self.at
