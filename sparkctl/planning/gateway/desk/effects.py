"""What the desk wants done. Values; their only order is the one in which they are given."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, TypeAlias


class RefusedFor(StrEnum):
    """Why a request is refused.

    ``unknown``: the stack has no such service (404). ``queue-full`` is 429, ``died`` 502: the server broke off before
    it answered, and still runs as far as is known. All others are 503: ``does-not-fit`` even if others are evicted;
    ``held`` and ``paused``, which a command ends; ``not-allowed`` to start it; ``waited-out``: it waited as long as it
    may; ``closed`` by the guard; ``start-failed``.
    """

    UNKNOWN = "unknown"
    QUEUE_FULL = "queue-full"
    DOES_NOT_FIT = "does-not-fit"
    HELD = "held"
    PAUSED = "paused"
    NOT_ALLOWED = "not-allowed"
    WAITED_OUT = "waited-out"
    CLOSED = "closed"
    START_FAILED = "start-failed"
    DIED = "died"


class StopFor(StrEnum):
    """Why the desk stops a service: to make room for another one, or because nobody asks for it."""

    ROOM = "room"
    IDLE = "idle"


class ForwardRequest(NamedTuple):
    """Hand the request to its service, which is ready. It ends with ``RequestEnded`` or ``RequestLeft``."""

    id: str
    service: str


class RefuseRequest(NamedTuple):
    """Answer the request. ``words`` may have several lines: the sum of a refusal.

    ``retry_after_s`` is for `Retry-After` (whole seconds, 120 at most; None: none), ``should_retry`` for
    `x-should-retry` (None: not said).
    """

    id: str
    service: str
    kind: RefusedFor
    words: str
    retry_after_s: int | None = None
    should_retry: bool | None = None


class TellWaiter(NamedTuple):
    """Tell a waiting stream what it waits for: the text of a comment, without `: ` and line ends."""

    id: str
    words: str


class StartService(NamedTuple):
    """Start it. It ends with ``ServiceStarted`` or ``StartFailed``."""

    service: str
    why: str


class StopService(NamedTuple):
    """Stop it. It ends with ``ServiceStopped`` or ``StopFailed``. ``why`` has the arithmetic, in several lines."""

    service: str
    kind: StopFor
    why: str


class HoldService(NamedTuple):
    """Record that the service was given up, until an operator starts it."""

    service: str
    why: str


class LookAtMemory(NamedTuple):
    """Look at the box and say what fits: one ``MemoryLooked`` for each."""


DeskEffect: TypeAlias = (
    ForwardRequest | RefuseRequest | TellWaiter | StartService | StopService | HoldService | LookAtMemory
)
