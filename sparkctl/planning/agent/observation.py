"""What is observed of a box at one moment: its services, and what holds for all of them. Values.

``BoxSeen`` is made anew for each decision. Times that are compared with each other come from a clock that only runs
forward, so that a clock that is set by a day starts and ends nothing; times of the engine (seconds since the epoch)
only tell one life of a container from another.
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
"""Those without a process."""
SERVING = frozenset({SeenState.READY, SeenState.BUSY, SeenState.UNKNOWN})
"""Those that a service which comes after it need not wait for."""


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

    ``incarnation`` is None without a container that was ever started; ``exit_code``, ``oom_killed`` and ``ended_at``
    (seconds since the epoch) are of one that ended. ``worked_on``: a command of somebody else works on it now.
    ``held_bytes`` is what its processes hold of the host's memory, None where that is not known.
    ``mods_lost`` are mods whose bytes are no more what was mounted; ``differs`` says in lines how what runs differs
    from what was applied.

    ``lacks`` says, as a sentence, what is not there that a start needs (the driver, the folder of the model); "" for
    nothing. ``cause`` is why it ended, where its log says so, "" where it does not; ``passes`` is False for a cause
    that is there again at each start until somebody changes something, and ``fix`` is what that is.
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
    start, and nothing was begun. ``left``: it was not done for a reason that is none of the service's: somebody else
    works on it, the engine went away.
    """

    DONE = "done"
    FAILED = "failed"
    NO_ROOM = "no-room"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """How the action of this ``number`` ended. ``why`` is a sentence: the cause, or the first line of the arithmetic.

    ``passes`` and ``fix`` are as for ``SeenService``. ``begun``: a container was started for it, so that one that was
    ``left`` counts as a start all the same. An outcome may be given more than once: it counts once.
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

    ``agent`` names this life of the agent's process and ``boot`` this boot of the host: after a change of ``agent``
    nobody works on what its predecessor had begun, after one of ``boot`` nothing runs that ran before.
    ``engine`` says that the engine does not answer, "" while it does: then ``services`` say nothing.
    ``available_bytes`` is MemAvailable and ``others_bytes`` what processes hold that belong to no service of sparkctl;
    None is not known. ``closed`` is why no start is admitted at all (the guard), as a sentence, "" while they are.
    ``outcome`` is how the agent's last action ended, None while one is under way.
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
        """Return what is seen of a service, which is absent where nothing is."""
        return next((one for one in self.services if one.name == name), SeenService(name))

    @property
    def unclaimed_bytes(self) -> int | None:
        """What would be available if every process that is known had ended, None where that cannot be said.

        What a process left behind that is gone is not in it: with vLLM memory came back minutes after SIGKILL, or
        after a reboot alone (vllm#45179).
        """
        held = [one.held_bytes for one in self.services if one.live]
        if self.available_bytes is None or any(one is None for one in held):
            return None
        return self.available_bytes + (self.others_bytes or 0) + sum(one or 0 for one in held)


class ActionKind(StrEnum):
    """What the agent does. ``start``, ``stop`` and ``wait`` take time, and end with an ``ActionOutcome``.

    ``wait`` joins a start that nobody waits for any more (``sparkctl attach``). ``hold`` keeps a standing and
    ``release`` ends it. ``reclaim`` asks the kernel to drop the page cache, where the agent may.
    """

    START = "start"
    STOP = "stop"
    WAIT = "wait"
    HOLD = "hold"
    RELEASE = "release"
    RECLAIM = "reclaim"


LONG = frozenset({ActionKind.START, ActionKind.STOP, ActionKind.WAIT})
"""Those that end with an outcome: one at a time is under way."""


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
