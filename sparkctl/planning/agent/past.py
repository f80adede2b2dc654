"""The past of a box, as far as the next decision needs it. Values, kept as JSON (pydantic's TypeAdapter).

Times are in seconds on the clock that ``decide`` is given, which only runs forward within one boot of the host.
``restarts.rebased`` converts them after a reboot: then everything has the age that it had when it was last kept. So
the past has to be kept after each decision that acted, and every minute as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sparkctl.planning.agent.observation import ActionKind, Incarnation  # noqa: TC001  (pydantic reads it at run time)


@dataclass(frozen=True, slots=True)
class PastFailure:
    """A failure of a service: when it was noticed, whether the service had been ready, and why it ended."""

    at: float
    ready: bool
    words: str


@dataclass(frozen=True, slots=True)
class PastHold:
    """The fact that a service was given up. ``kept``: its standing was seen; if it is absent later, it was released.

    ``memory``: the reason is memory that did not come back; it is released when the memory is back, or by a reboot.
    ``releasing`` is when the agent last tried to end its standing.
    """

    why: str
    at: float
    kept: bool = False
    memory: bool = False
    releasing: float | None = None


@dataclass(frozen=True, slots=True)
class PastRefusal:
    """A start that admission refused: why, when, with how much available, and beside which services.

    ``since`` is the time of the first refusal in the series that ends with this one.
    """

    why: str
    at: float
    available_bytes: int | None
    beside: tuple[str, ...]
    since: float


@dataclass(frozen=True, slots=True)
class ServicePast:
    """What happened to a service.

    ``live`` is the last incarnation that was seen with a process, until its end was noticed; ``ready``: it was ready
    once; ``by_hand``: somebody else's command worked on it at the last look. ``given_up`` is an incarnation that did
    not become ready and was left. ``healthy_since`` and ``stuck_since`` are None while it is not healthy or not stuck.
    ``failures`` are those since it was last healthy for long enough, the latest last, and ``due_at`` is when it may
    start again. ``stopping`` is why the agent stops it, "" while it does not. Before it starts again, ``level_bytes``
    have to be available without any process (``BoxSeen.unclaimed_bytes``). ``short_since`` is since when they are not,
    with at least ``short_bytes`` missing, and ``reclaimed_at`` when the page cache was dropped for that. ``held_bytes``
    is the most that its processes held.
    """

    name: str
    live: Incarnation | None = None
    ready: bool = False
    by_hand: bool = False
    given_up: Incarnation | None = None
    healthy_since: float | None = None
    stuck_since: float | None = None
    failures: tuple[PastFailure, ...] = ()
    due_at: float | None = None
    stopping: str = ""
    mods_lost: tuple[str, ...] = ()
    level_bytes: int | None = None
    held_bytes: int | None = None
    short_since: float | None = None
    short_bytes: int | None = None
    reclaimed_at: float | None = None
    refusal: PastRefusal | None = None
    held: PastHold | None = None


@dataclass(frozen=True, slots=True)
class PastStart:
    """A start that the agent began."""

    at: float
    service: str


@dataclass(frozen=True, slots=True)
class Underway:
    """The last long action, which has no outcome yet; ``agent`` is the process that does it.

    ``before`` is the last life of the service's container when the action was begun.
    """

    number: int
    kind: ActionKind
    service: str
    agent: str
    at: float
    before: Incarnation | None = None


@dataclass(frozen=True, slots=True)
class AgentPast:
    """The past of a box. ``at`` is the time of the last decision, in the boot of the host called ``boot``.

    ``starts`` are those of the last hour, the latest last. ``number`` is that of the last long action. ``engine_away``:
    the engine did not answer at the last look.
    """

    services: tuple[ServicePast, ...] = ()
    starts: tuple[PastStart, ...] = ()
    underway: Underway | None = None
    number: int = 0
    at: float = 0.0
    boot: str = ""
    engine_away: bool = False

    def service(self, name: str) -> ServicePast:
        """Return the record of a service, an empty one if nothing is kept."""
        return next((one for one in self.services if one.name == name), ServicePast(name))

    def noting(self, record: ServicePast) -> AgentPast:
        """Return the past with this record in place of the service's earlier one."""
        if not any(one.name == record.name for one in self.services):
            return replace(self, services=(*self.services, record))
        return replace(self, services=tuple(record if one.name == record.name else one for one in self.services))
