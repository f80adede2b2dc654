"""What happened on a box, as far as the next decision needs it. Values, kept as JSON (pydantic's TypeAdapter).

Times are in seconds on the clock that ``decide`` is given, which only runs forward within one boot of the host;
``restarts.rebased`` carries them over a reboot, after which everything is as old as it was when it was kept. So it is
to be kept after each decision that acted, and each minute besides.
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
    """That a service was given up. ``kept``: its standing was seen, so that its absence means: released.

    ``memory``: for memory that did not come back, so that it is released when that is back, or was with a reboot;
    ``releasing`` is when its standing was to be ended last.
    """

    why: str
    at: float
    kept: bool = False
    memory: bool = False
    releasing: float | None = None


@dataclass(frozen=True, slots=True)
class PastRefusal:
    """That admission refused a start: why, when, with how much available, and beside which services.

    ``since`` is when the first of the refusals was, of which this is the last.
    """

    why: str
    at: float
    available_bytes: int | None
    beside: tuple[str, ...]
    since: float


@dataclass(frozen=True, slots=True)
class ServicePast:
    """What happened to a service.

    ``live`` is the last incarnation that was seen with a process, until its end was noticed; ``ready``: that one was
    ready once; ``by_hand``: a command of somebody else worked on it at the last look. ``given_up`` is an incarnation
    that did not become ready and was left. ``healthy_since`` and ``stuck_since`` are None while it is not so.
    ``failures`` are those since it was last well for long enough, the latest last, and ``due_at`` is when it may start
    again. ``stopping`` is why the agent stops it, "" while it does not. ``level_bytes`` is what has to be available
    without any process before it starts again (``BoxSeen.unclaimed_bytes``), ``short_since`` since when it is not, with
    ``short_bytes`` missing at least, and ``reclaimed_at`` when the page cache was dropped for that. ``held_bytes`` is
    the most that its processes held.
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
    """The long action that was begun last and has no outcome yet; ``agent`` is the process that does it.

    ``before`` is the last life of the service's container when it was begun.
    """

    number: int
    kind: ActionKind
    service: str
    agent: str
    at: float
    before: Incarnation | None = None


@dataclass(frozen=True, slots=True)
class AgentPast:
    """What happened on a box. ``at`` is when the last decision was made, in the boot of the host called ``boot``.

    ``starts`` are those of the last hour, the latest last. ``number`` is that of the last long action.
    ``engine_away``: at the last look the engine did not answer.
    """

    services: tuple[ServicePast, ...] = ()
    starts: tuple[PastStart, ...] = ()
    underway: Underway | None = None
    number: int = 0
    at: float = 0.0
    boot: str = ""
    engine_away: bool = False

    def service(self, name: str) -> ServicePast:
        """Return what happened to a service, which is nothing where nothing is kept."""
        return next((one for one in self.services if one.name == name), ServicePast(name))

    def noting(self, record: ServicePast) -> AgentPast:
        """Return it with what happened to a service in place of what was kept of that."""
        if not any(one.name == record.name for one in self.services):
            return replace(self, services=(*self.services, record))
        return replace(self, services=tuple(record if one.name == record.name else one for one in self.services))
