"""A request at the desk, from its arrival until it is answered. Values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sparkctl.planning.box.gateway_defaults import USUAL

WAIT_S: Final = USUAL.wait_s
"""How long a request waits at most, where the gateway's stack does not say it."""


class RequestPlace(StrEnum):
    """Where a request is.

    ``waiting``: for a service that is not there, or for its turn at one that answers as many as it may.
    ``served``: it was handed to the service. ``resting``: so was it, and nothing is under way on it: an idle websocket,
    which is no use of a service (llama-swap had to add `ignoreWebsockets`).
    """

    WAITING = "waiting"
    SERVED = "served"
    RESTING = "resting"


@dataclass(frozen=True, slots=True)
class DeskRequest:
    """A request that asks for a service. Times are on the clock of ``now``, durations in seconds.

    ``may_start``: its key, and the route that it came by, allow that a service is started for it. ``stream``: it is
    told meanwhile what it waits for, so that it may wait for a start that is under way longer than ``wait_s``.
    ``keeps``: it counts as use of its service; one that does not (a tokenize: clients ask every model for it, see
    goniz/opencode-local-provider#14) takes no place, starts nothing, and keeps nothing running.
    ``sent``: a server had it, and broke off without an answer. It is told what became of that server, and never handed
    on again: nobody knows what was done with it.
    Of requests that wait for the same service the higher ``priority`` is first, then who came first.
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
        """What requests that wait for the same service are sorted by."""
        return -self.priority, self.at
