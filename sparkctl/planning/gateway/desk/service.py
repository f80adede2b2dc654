"""What the desk knows of a service: its stack's declaration, measured values, and its present state. Values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sparkctl.planning.box.declared import Restarts, StartMode

STAYS_S: Final = 60.0
"""A service is not stopped for another one sooner, unless its stack says otherwise: the default of the file."""
RESTARTS: Final = Restarts(10.0, 300.0, 3, 1800.0)
"""As in a stack's file without `restart:`."""


class DeskState(StrEnum):
    """Where a service stands at the desk.

    ``draining`` is ready, accepts nothing new, and is stopped once its answers have ended. ``stuck`` accepts nothing
    either: its server makes no steps (eugr/spark-vllm-docker#260), and then the agent ends it, or refuses connections.
    ``held``: it was given up; ``paused``: an operator stopped it. No request starts either of these.
    """

    OFF = "off"
    STARTING = "starting"
    READY = "ready"
    STUCK = "stuck"
    DRAINING = "draining"
    STOPPING = "stopping"
    HELD = "held"
    PAUSED = "paused"


UP: Final = frozenset({DeskState.READY, DeskState.STUCK, DeskState.DRAINING})
"""States of a service that was ready and still has a server."""
HOLDING: Final = frozenset({*UP, DeskState.STARTING, DeskState.STOPPING})
"""States in which a service holds memory."""


@dataclass(frozen=True, slots=True)
class DeskDeclared:
    """What a stack says of a service that the desk manages, and what was measured of it. Durations are in seconds.

    ``limit`` is how many requests it answers at once (`limits.sequences`) and ``queue`` how many more wait for it.
    ``idle_s`` as in the stack: after this long without a request it is stopped, None: never. ``load_s`` is how long its
    start usually takes, 0 if that is not known. ``command`` is what an operator types to start it. ``after`` are all
    services that have to be there before it is started, in the order of their starts. ``host`` is the other host that
    it runs on, "" for this one: the desk starts and stops nothing there, and its memory is not part of this box.
    """

    name: str
    start: StartMode = StartMode.ON_DEMAND
    priority: int = 0
    keep: bool = False
    idle_s: float | None = None
    stays_s: float = STAYS_S
    restarts: Restarts = RESTARTS
    limit: int = 1
    queue: int = 16
    load_s: float = 0.0
    command: str = ""
    after: tuple[str, ...] = ()
    host: str = ""

    @property
    def least_stay_s(self) -> float:
        """How long it stays once it is ready, whoever wants its memory: a load has a cost and should be used."""
        return max(self.stays_s, self.load_s)


@dataclass(frozen=True, slots=True)
class DeskService:
    """A service at the desk. Times are on the clock of ``now``.

    ``why`` is a sentence for a state that needs one: why it is held, stopped or off. ``phase`` and ``eta_at`` belong to
    a start: what it does, and when it is expected to be ready (None: not known). ``ours``: the desk asked for the start
    or the stop that is under way, so that its outcome comes as an event. ``busy``: it answers requests that do not come
    through the desk. ``wanted``: it has to run although nobody asks, and has waited for room since ``wanted_at``.
    ``died``: it ended by itself after it had been ready. ``seen_at`` is when the agent looked at it last. ``others``
    counts the requests at its server that did not come through the desk, as far as the server counts them.
    ``not_before``: it is not started earlier, after a failure. ``used_at`` is when the last answer ended, or when it
    was first seen ready.
    """

    declared: DeskDeclared
    state: DeskState = DeskState.OFF
    why: str = ""
    phase: str = ""
    eta_at: float | None = None
    ours: bool = False
    gone: bool = False
    busy: bool = False
    pinned: bool = False
    died: bool = False
    seen_at: float = -math.inf
    wanted_at: float | None = None
    ready_at: float = 0.0
    used_at: float = 0.0
    not_before: float = 0.0
    failures: tuple[float, ...] = ()
    others: int = 0

    @property
    def name(self) -> str:
        """Its name."""
        return self.declared.name

    @property
    def far(self) -> bool:
        """Whether it runs on another host."""
        return bool(self.declared.host)

    @property
    def up(self) -> bool:
        """Whether it was ready and has a server still."""
        return self.state in UP

    @property
    def stays_until(self) -> float:
        """The time until which it is not stopped for another one."""
        return self.ready_at + self.declared.least_stay_s

    @property
    def protected(self) -> bool:
        """Whether no request ever stops it.

        A service that is started only by hand belongs to its operator: a model that was loaded by hand is not to be
        unloaded (lmstudio-bug-tracker#644).
        """
        return self.far or self.declared.keep or self.pinned or self.declared.start is StartMode.MANUAL

    @property
    def goes_by_idle(self) -> bool:
        """Whether it is stopped by itself when nobody asks for it."""
        one = self.declared
        return one.start is StartMode.ON_DEMAND and one.idle_s is not None and not self.pinned
