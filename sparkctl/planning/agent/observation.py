"""The observed state of a box at one moment: its services, and facts about all of them. Values.

``BoxSeen`` is made anew for each decision. Times that are compared with each other come from a clock that only runs
forward, so that setting the system's clock by a day starts and ends nothing. Times of the engine (seconds since the
epoch) only tell one life of a container from another.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class SeenState(StrEnum):
    """What a service does. ``stuck``: no step of its scheduler, or no answer, for as long as liveness asks for.

    ``created`` is a container that was never started, ``ended`` one without a process, ``unknown`` one that runs and
    cannot be asked.
    """

    ABSENT = "absent"
    CREATED = "created"
    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"
    STUCK = "stuck"
    UNKNOWN = "unknown"
    ENDED = "ended"


IDLE_STATES = frozenset({SeenState.ABSENT, SeenState.CREATED, SeenState.ENDED})
"""States without a process."""
SERVING = frozenset({SeenState.READY, SeenState.BUSY, SeenState.UNKNOWN})
"""States that a later service need not wait for."""


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One life of a container: its id, and when the engine says that it was started (seconds since the epoch)."""

    container: str
    started_at: float


class StandingKind(StrEnum):
    """What an operator, or the agent, decided about a service between commands."""

    PAUSED = "paused"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds for a service until an operator says otherwise; ``at`` is in seconds since the epoch.

    ``paused``: an operator stopped it (``who``). ``held``: it was given up; ``why`` is the reason as a sentence.
    """

    kind: StandingKind
    why: str = ""
    at: float = 0.0
    who: str = ""


@dataclass(frozen=True, slots=True)
class SeenService:
    """A service at one moment; one that is not in ``BoxSeen.services`` is absent.

    ``incarnation`` is None if no container was ever started; ``exit_code``, ``oom_killed`` and ``ended_at`` (seconds
    since the epoch) are those of a container that ended. ``worked_on``: somebody else's command works on it now.
    ``held_bytes`` is what its processes hold of the host's memory, None if that is not known. ``mods_lost`` are mods
    whose bytes are no longer the mounted ones; ``differs`` says in lines how the running service differs from the
    applied one.

    ``lacks`` names, as a sentence, something that a start needs and that is missing (the driver, the folder of the
    model); "" for nothing. ``cause`` is why it ended, "" if its log does not say so; ``passes`` is False for a cause
    that returns at each start until somebody changes something, and ``fix`` says what to change.
    """

    name: str
    state: SeenState = SeenState.ABSENT
    incarnation: Incarnation | None = None
    exit_code: int | None = None
    oom_killed: bool = False
    ended_at: float | None = None
    worked_on: bool = False
    standing: Standing | None = None
    held_bytes: int | None = None
    mods_lost: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()
    lacks: str = ""
    cause: str = ""
    passes: bool = True
    fix: str = ""

    @property
    def live(self) -> bool:
        """Whether it has a process."""
        return self.state not in IDLE_STATES


class ActionResult(StrEnum):
    """How an action of the agent ended.

    ``done``: the service is ready, or stopped. ``failed``: it did not become ready. ``no-room``: admission refused the
    start, and nothing was begun. ``left``: it was not done, for a reason outside of the service: somebody else works on
    it, or the engine went away.
    """

    DONE = "done"
    FAILED = "failed"
    NO_ROOM = "no-room"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """How the action of this ``number`` ended. ``why`` is a sentence: the cause, or the first line of the arithmetic.

    ``passes`` and ``fix`` are as for ``SeenService``. ``begun``: a container was started for the action, so that even
    an action that was ``left`` counts as a start. An outcome may be given more than once: it counts once.
    """

    number: int
    result: ActionResult
    why: str = ""
    passes: bool = True
    fix: str = ""
    begun: bool = False


@dataclass(frozen=True, slots=True)
class BoxSeen:
    """A box at one moment.

    ``agent`` names this life of the agent's process and ``boot`` this boot of the host: after a change of ``agent``,
    nobody continues what its predecessor had begun; after a change of ``boot``, nothing runs that ran before.
    ``engine`` says that the engine does not answer, "" while it does; without it, ``services`` say nothing.
    ``available_bytes`` is MemAvailable, and ``others_bytes`` the memory of processes that belong to no service of
    sparkctl; None if not known. ``closed`` is why no start is admitted at all (the guard), as a sentence, "" while
    starts are admitted. ``outcome`` is how the agent's last action ended, None while one is under way.
    """

    services: tuple[SeenService, ...]
    agent: str = ""
    boot: str = ""
    engine: str = ""
    available_bytes: int | None = None
    others_bytes: int | None = None
    closed: str = ""
    outcome: ActionOutcome | None = None

    def service(self, name: str) -> SeenService:
        """Return the observed state of a service; one that is not listed is absent."""
        return next((one for one in self.services if one.name == name), SeenService(name))

    @property
    def unclaimed_bytes(self) -> int | None:
        """The bytes that would be available if every known process had ended, None if that is not known.

        Memory that a vanished process left occupied is not included: with vLLM it came back minutes after SIGKILL, or
        only after a reboot (vllm#45179).
        """
        held = [one.held_bytes for one in self.services if one.live]
        if self.available_bytes is None or any(one is None for one in held):
            return None
        return self.available_bytes + (self.others_bytes or 0) + sum(one or 0 for one in held)


class ActionKind(StrEnum):
    """What the agent does. ``start``, ``stop`` and ``wait`` take time, and end with an ``ActionOutcome``.

    ``wait`` joins a start that nobody waits for any more (``sparkctl attach``). ``hold`` records a standing and
    ``release`` ends it. ``reclaim`` asks the kernel to drop the page cache, if the agent may do that.
    """

    START = "start"
    STOP = "stop"
    WAIT = "wait"
    HOLD = "hold"
    RELEASE = "release"
    RECLAIM = "reclaim"


LONG = frozenset({ActionKind.START, ActionKind.STOP, ActionKind.WAIT})
"""Actions that end with an outcome; only one of them is under way at a time."""


class BoxAction(NamedTuple):
    """One action on a service. ``why`` is the reason as a sentence; ``number`` names a long one in its outcome."""

    kind: ActionKind
    service: str
    why: str = ""
    number: int = 0


class ServicePhase(StrEnum):
    """Where a service of the declared box stands, as ps, page and metrics show it."""

    RUNNING = "running"
    STARTING = "starting"
    STOPPING = "stopping"
    STUCK = "stuck"
    WAITING = "waiting"
    BACKING_OFF = "backing-off"
    PAUSED = "paused"
    HELD = "held"
    OFF = "off"


class ServiceWords(NamedTuple):
    """Where a service stands, and the same in one plain sentence without an end."""

    name: str
    phase: ServicePhase
    words: str

    def __str__(self) -> str:
        """Return the sentence."""
        return self.words
