"""What a stack declares of its services beside their recipes: when they run, in which order, who stays. Values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class StartMode(StrEnum):
    """When a service of a stack runs."""

    ALWAYS = "always"
    ON_DEMAND = "on-demand"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Restarts:
    """How a service that ended is started again. Durations are in seconds.

    The first wait is ``first_s`` and each further one twice as long, up to ``most_s``.
    ``attempts`` failures before it was ready, within ``within_s``, hold it: nothing starts it until an operator does.
    """

    first_s: float
    most_s: float
    attempts: int
    within_s: float


@dataclass(frozen=True, slots=True)
class DeclaredService:
    """What a stack says of one service. Durations are in seconds.

    ``keep``: nothing is evicted in its stead. ``idle_s`` is after how long without a request one that is started on
    demand is stopped, None: never. ``after`` are the services that have to be ready before it starts.
    """

    name: str
    start: StartMode
    priority: int
    keep: bool
    after: tuple[str, ...]
    idle_s: float | None
    stays_s: float
    restarts: Restarts
