"""A model of a box behind the desk: services that load, answer and die, an agent, operators, clients. Simulated time.

It knows nothing of the desk's rules. What fits is what ``planning.admission`` says, for the desk and for the controller
that starts; one worker does one thing at a time, the agent's starts among them. Each seed has its own services.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sparkctl.base.units import GIB
from sparkctl.memory.pool import Pool
from sparkctl.planning.admission import Wanted, admit
from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.gateway.desk.admitted import admitted
from sparkctl.planning.gateway.desk.events import SeenAtDesk, ServicesSeen
from sparkctl.planning.gateway.desk.service import DeskDeclared, DeskState
from sparkctl.planning.running import Running

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.planning.gateway.desk.room import Fits

TOTAL: Final = round(119.6 * GIB)
SYSTEM: Final = 3 * GIB
RESERVE: Final = 10 * GIB
NAMES: Final = ("executor", "reasoner", "embedder", "coder", "vision", "draft")


@dataclass(slots=True)
class Model:
    """A service as it truly is. Times in seconds, sizes in bytes; ``left`` is what its last process has left behind."""

    name: str
    steady: int
    peak: int
    load_s: float
    state: DeskState = DeskState.OFF
    began: float = 0.0
    ready_at: float = 0.0
    left: int = 0
    left_until: float = 0.0
    busy: bool = False
    stuck: bool = False
    why: str = ""
    used_at: float = 0.0
    stop_fails: bool = False
    answers: set[str] = field(default_factory=set)

    def resident(self, at: float) -> int:
        """Return what it holds: its most all the time that it loads, from its first minute on."""
        if self.state is DeskState.STARTING:
            return self.peak if at - self.began > self.load_s / 2 else self.steady // 2
        held = self.steady if self.state in {DeskState.READY, DeskState.STOPPING} else 0
        return held + (self.left if at < self.left_until else 0)


class DeskBox:
    """The box, by a seed: what is there, what of it is seen, and what time brings."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311  (a seed, so that a failure comes again)
        self.at = 0.0
        self.todo: list[tuple[float, int, Callable[[], None]]] = []
        self.plans = 0
        self.models = {name: self._model(name) for name in NAMES}
        self.declared = {name: self._declared(name) for name in NAMES}
        self.pinned: set[str] = set()
        self.foreign = 0
        self.least_free = TOTAL
        self.counts: Counter[str] = Counter()

    def _model(self, name: str) -> Model:
        steady = self.dice.choice((10, 24, 36, 52, 52, 70)) * GIB
        return Model(name, steady, steady + self.dice.choice((1, 3, 6)) * GIB, self.dice.choice((20, 60, 60, 150, 420)))

    def _declared(self, name: str) -> DeskDeclared:
        dice, model = self.dice, self.models[name]
        start = dice.choice((*(StartMode.ON_DEMAND,) * 14, StartMode.ALWAYS, StartMode.MANUAL))
        demand = start is StartMode.ON_DEMAND
        return DeskDeclared(
            name,
            start,
            dice.choice((1, 1, 5, 5, 10)),
            keep=dice.random() < 0.08,
            idle_s=dice.choice((None, 30.0, 300.0, 1800.0)) if demand else None,
            stays_s=dice.choice((0.0, 60.0, 120.0)),
            limit=dice.choice((1, 2, 8)),
            queue=dice.choice((0, 4, 16)),
            load_s=model.load_s if dice.random() < 0.8 else 0.0,
            command=f"sparkctl up {name}",
            after=dice.choice((*((),) * 9, NAMES[: NAMES.index(name)][-2:])),
        )

    # --- time ---------------------------------------------------------------------------------------------------------

    def later(self, delay_s: float, do: Callable[[], None]) -> None:
        self.plans += 1
        heapq.heappush(self.todo, (self.at + delay_s, self.plans, do))

    @property
    def next_at(self) -> float:
        return self.todo[0][0] if self.todo else math.inf

    def next_event(self) -> None:
        heapq.heappop(self.todo)[2]()

    def advance(self, until: float) -> None:
        self.at = until
        self.least_free = min(self.least_free, self.available + self.foreign)

    # --- memory -------------------------------------------------------------------------------------------------------

    @property
    def available(self) -> int:
        return TOTAL - SYSTEM - self.foreign - sum(one.resident(self.at) for one in self.models.values())

    def pool(self) -> Pool:
        return Pool(TOTAL, self.available, RESERVE)

    def running(self) -> list[Running]:
        states = {DeskState.STARTING: "starting", DeskState.READY: "ready", DeskState.STOPPING: "ready"}
        return [
            Running(one.name, one.name, "d", states[one.state], one.steady, self._held(one), 0, one.peak)
            for one in self.models.values()
            if one.state in states
        ]

    def _held(self, one: Model) -> int:
        return one.resident(self.at) - (one.left if self.at < one.left_until else 0)

    def wanted(self, name: str) -> Wanted:
        one = self.models[name]
        return Wanted(name, name, "d", one.steady, one.peak)

    def fits(self) -> Fits:
        return admitted({name: self.wanted(name) for name in self.models}, self.running(), self.pool())

    def has_room(self, name: str) -> bool:
        """Return what the controller says under its lock before it starts."""
        return admit([self.wanted(name)], self.running(), self.pool(), replace=False).fits

    # --- what becomes of services -------------------------------------------------------------------------------------

    def loads(self, name: str) -> None:
        one = self.models[name]
        one.state, one.began, one.why = DeskState.STARTING, self.at, ""

    def becomes_ready(self, name: str) -> None:
        one = self.models[name]
        one.state, one.ready_at, one.used_at = DeskState.READY, self.at, self.at

    def ends(self, name: str, state: DeskState = DeskState.OFF, why: str = "") -> None:
        """End its process; what it held comes back a little later."""
        one = self.models[name]
        one.left, one.left_until = self._held(one), self.at + self.dice.choice((0, 0, 1, 8))
        one.state, one.why, one.busy, one.stuck = state, why, False, False

    def seen(self, wanted: frozenset[str] = frozenset(), others: str = "") -> ServicesSeen:
        """Return what the agent sees."""
        looks = (
            SeenAtDesk(
                name,
                DeskState.STUCK if one.stuck else one.state,
                one.why,
                busy=bool(one.answers) or one.busy,
                wanted=name in wanted,
            )
            for name, one in self.models.items()
            if name in self.declared
        )
        return ServicesSeen(tuple(looks), others)
