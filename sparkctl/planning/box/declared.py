"""What a stack declares of its services beside their recipes: when they run, their order, and who stays. Values."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (pydantic reads it at run time)
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from sparkctl.planning.box.gateway_defaults import USUAL


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

    ``keep``: it is not evicted for another service. A service that is started on demand is stopped after ``idle_s``
    without a request, None: never. ``after`` are the services that have to be ready before it starts. ``names`` are
    further names by which the gateway's clients ask for it; ``defaults`` and ``force`` are JSON values for the bodies
    of their requests: ``defaults`` if a request does not set the key, ``force`` always.
    """

    name: str
    start: StartMode
    priority: int
    keep: bool
    after: tuple[str, ...]
    idle_s: float | None
    stays_s: float
    restarts: Restarts
    names: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    force: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class DeclaredRoute:
    """A name that stands for two services: ``first`` is asked, and ``then`` for the reasons in ``when``.

    ``start``: ``then`` is started if it does not run. ``waiting`` is how many requests may wait for ``first`` before
    that counts as busy.
    """

    name: str
    first: str
    then: str
    when: tuple[str, ...]
    start: bool
    waiting: int


@dataclass(frozen=True, slots=True)
class DeclaredGateway:
    """Where a stack's gateway listens, how long requests wait at it, and how many.

    ``wait_s`` is in seconds; ``queue`` is for each service. ``comments``: a waiting stream is told what it waits for.
    ``certificate`` and ``certificate_key`` are paths of this host, "" for none. ``open``: other hosts are served
    without a key.
    """

    bind: str
    port: int
    wait_s: float
    queue: int
    comments: bool
    certificate: str = ""
    certificate_key: str = ""
    open: bool = False


USUAL_GATEWAY: Final = DeclaredGateway(*USUAL)
