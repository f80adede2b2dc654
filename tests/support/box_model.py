"""A model of a box for the agent's decision: containers that load for minutes, die, leak and get stuck.

Its time is simulated. It knows nothing of the decision. Starts are admitted by ``planning.admission``, as the
controller does it. Times are true seconds since the model began; the decision is told the clock of the present boot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.units import GIB
from sparkctl.memory.pool import Pool
from sparkctl.planning.admission import Wanted
from sparkctl.planning.agent.observation import BoxSeen, Incarnation, SeenService, SeenState, Standing
from sparkctl.planning.box.declared import DeclaredService, Restarts, StartMode
from sparkctl.planning.plan import make_plan
from sparkctl.planning.running import Running

if TYPE_CHECKING:
    import random

TOTAL: Final = round(119.6 * GIB)
SYSTEM: Final = 3 * GIB
RESERVE: Final = 10 * GIB
STUCK_S: Final = 20.0
"""What liveness takes to call a server stuck."""
READY_TIMEOUT_S: Final = 1200.0
RESTARTS: Final = Restarts(10.0, 300.0, 3, 1800.0)


class Size(NamedTuple):
    """What a service claims and takes at its start at most, in GiB, and how long it usually loads."""

    steady: int
    peak: int
    load_s: float


SIZES: Final = {
    "executor": Size(16, 19, 150),
    "reasoner": Size(48, 54, 420),
    "embedder": Size(6, 8, 45),
    "coder": Size(14, 18, 240),
    "vision": Size(20, 24, 300),
    "batch": Size(8, 10, 90),
}


def declared(name: str, priority: int, start: StartMode = StartMode.ALWAYS, *after: str) -> DeclaredService:
    return DeclaredService(name, start, priority, False, after, None, 60.0, RESTARTS)


BOX: Final = (
    declared("coder", 2, StartMode.ALWAYS, "embedder"),
    declared("reasoner", 5),
    declared("executor", 10),
    declared("embedder", 1),
    declared("vision", 3, StartMode.ON_DEMAND),
    declared("batch", 0, StartMode.MANUAL),
)


class Death(NamedTuple):
    """How a server ends by itself. ``phase`` is the part of its load after which it does, None: when it serves."""

    phase: float | None
    code: int
    cause: str = ""
    passes: bool = True
    oom: bool = False


@dataclass
class Server:
    """A container. ``load_s`` is how long it loads; ``by`` is who waits for its start: agent, hand or nobody."""

    name: str
    life: Incarnation
    began: float
    load_s: float
    steady: int
    peak: int
    death: Death | None = None
    by: str = ""
    state: str = "running"
    code: int | None = None
    oom: bool = False
    cause: str = ""
    passes: bool = True
    stuck_at: float = math.inf
    stuck_until: float = math.inf
    mods_lost: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()

    @property
    def ready_at(self) -> float:
        return self.began + self.load_s

    @property
    def dies_at(self) -> float:
        if self.state != "running" or self.death is None or self.death.phase is None:
            return math.inf
        return self.began + self.death.phase * self.load_s

    def ready(self, at: float) -> bool:
        return self.state == "running" and at >= self.ready_at

    def stuck(self, at: float) -> bool:
        return self.ready(at) and self.stuck_at <= at < self.stuck_until

    def resident(self, at: float) -> int:
        """Return what it holds: its weights come first, then it takes its most, then what it keeps."""
        if self.state != "running":
            return 0
        part = min(1.0, (at - self.began) / self.load_s)
        if part < 0.7:
            return round(self.steady * part / 0.7 * 0.9)
        if part < 1.0:
            return round(0.9 * self.steady + (self.peak - 0.9 * self.steady) * (part - 0.7) / 0.3)
        return self.steady

    def seen_state(self, at: float) -> SeenState:
        if self.state != "running":
            return SeenState.ENDED if self.state == "exited" else SeenState.CREATED
        if not self.ready(at):
            return SeenState.STARTING
        return SeenState.STUCK if self.stuck(at) and at - self.stuck_at >= STUCK_S else SeenState.READY


class Lump(NamedTuple):
    """Memory that belongs to no server: of a process (``whose`` is "") or left behind by a service that is gone."""

    size: int
    until: float
    whose: str = ""
    cache: bool = False


@dataclass
class Fault:
    """What befalls the next starts of a service. ``number`` inf: until somebody changes something."""

    number: float
    death: Death


@dataclass
class BoxModel:
    """The box."""

    dice: random.Random
    at: float = 0.0
    boot: int = 1
    booted_at: float = -100.0
    clock: float = 1_750_000_000.0
    engine_until: float = 0.0
    driver_until: float = 0.0
    folder_until: float = 0.0
    full_until: float = 0.0
    closed_until: float = 0.0
    servers: dict[str, Server] = field(default_factory=dict)
    lumps: list[Lump] = field(default_factory=list)
    standing: dict[str, Standing] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    slow: dict[str, float] = field(default_factory=dict)
    hands: dict[str, float] = field(default_factory=dict)
    hand_ended: dict[str, float] = field(default_factory=dict)
    lives: int = 0
    least_free: int = TOTAL
    commands: list[tuple[float, str]] = field(default_factory=list)
    failures: list[tuple[float, str, bool, bool]] = field(default_factory=list)

    # --- time and memory ----------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The clock that the decision is told."""
        return self.at - self.booted_at

    @property
    def available(self) -> int:
        held = sum(one.resident(self.at) for one in self.servers.values())
        return TOTAL - SYSTEM - held - sum(lump.size for lump in self.lumps)

    @property
    def foreign(self) -> int:
        return sum(lump.size for lump in self.lumps if not lump.whose)

    def left_by(self, name: str) -> int:
        return sum(lump.size for lump in self.lumps if lump.whose == name)

    @property
    def engine_away(self) -> bool:
        return self.at < self.engine_until

    @property
    def disk_full(self) -> bool:
        return self.at < self.full_until

    def starting(self) -> list[str]:
        return [name for name, one in self.servers.items() if one.state == "running" and not one.ready(self.at)]

    def changes(self) -> list[float]:
        """Return when the box changes by itself, or has its least memory."""
        found = [self.engine_until, self.driver_until, self.folder_until, self.full_until, self.closed_until]
        found += [lump.until for lump in self.lumps] + list(self.hands.values())
        for one in self.servers.values():
            if one.state == "running":
                found += [one.ready_at, one.dies_at, one.stuck_at + STUCK_S, one.stuck_until]
                found += [one.began + READY_TIMEOUT_S, one.ready_at - 0.01]
        return [each for each in found if each > self.at]

    def advance(self, until: float) -> None:
        """Let time pass, change by change; the memory is looked at after each."""
        while self.at < until:
            self.at = min([until, *self.changes()])
            self.lumps = [lump for lump in self.lumps if lump.until > self.at]
            for one in list(self.servers.values()):
                if one.dies_at <= self.at and one.death is not None:
                    self.end(one.name, one.death)
                elif one.stuck_until <= self.at:
                    one.stuck_at = one.stuck_until = math.inf
            self.hand_ended |= {name: end for name, end in self.hands.items() if end <= self.at}
            self.hands = {name: end for name, end in self.hands.items() if end > self.at}
            self.look_at_memory()

    def look_at_memory(self) -> None:
        """Hold that what runs and was admitted leaves the reserve free, but for what a foreign process took."""
        self.least_free = min(self.least_free, self.available)
        assert self.available + self.foreign >= RESERVE, f"over-committed at {self.at}: {self.available / GIB:.1f} GiB"

    # --- what happens to servers --------------------------------------------------------------------------------------

    def wanted(self, name: str) -> Wanted:
        size = SIZES[name]
        return Wanted(name, name, name, size.steady * GIB, size.peak * GIB)

    def running(self) -> list[Running]:
        found = []
        for name, one in self.servers.items():
            state = "stopped" if one.state != "running" else "ready" if one.ready(self.at) else "starting"
            size = SIZES[name]
            held, peak = one.resident(self.at), size.peak * GIB
            found.append(Running(name, name, name, state, size.steady * GIB, held, peak_bytes=peak))
        return found

    def refused(self, name: str) -> str:
        """Return why a start has no room, the first line of the arithmetic; "" where it has."""
        plan = make_plan([self.wanted(name)], self.running(), Pool(TOTAL, self.available, RESERVE), replace=False)
        return "" if plan.fits else plan.reasons[0]

    def begin(self, name: str, by: str) -> Server:
        """Start a container, in place of the one that was."""
        assert not self.starting(), f"{name} is started while {self.starting()} starts"
        self.lives += 1
        size, fault = SIZES[name], self.faults.get(name)
        death = None
        if fault is not None:
            death, fault.number = fault.death, fault.number - 1
            if fault.number <= 0:
                del self.faults[name]
        load = size.load_s * self.dice.uniform(0.8, 1.3) * self.slow.pop(name, 1.0)
        steady = round(size.steady * GIB * self.dice.uniform(0.93, 1.0))
        peak = max(steady, round(size.peak * GIB * self.dice.uniform(0.93, 1.0)))
        life = Incarnation(f"c{self.lives}", self.clock + self.at)
        self.servers[name] = Server(name, life, self.at, load, steady, peak, death, by)
        return self.servers[name]

    def end(self, name: str, death: Death, leak_s: float | None = None, *, removed: bool = False) -> None:
        """End a server; what it held comes back within seconds, or ``leak_s`` later."""
        one = self.servers[name]
        # One that ends within seconds of being ready was not seen so by anybody.
        self.failures.append((self.at, name, one.ready(self.at - 10), death.passes))
        self.stop(name, death.code, leak_s, removed=removed)
        one.oom, one.cause, one.passes = death.oom, death.cause, death.passes

    def stop(self, name: str, code: int, leak_s: float | None = None, *, removed: bool = False) -> None:
        one = self.servers[name]
        after = self.dice.uniform(0.2, 6) if leak_s is None else leak_s
        size = one.resident(self.at)
        size = size if leak_s is None else round(size * self.dice.uniform(0.3, 1.0))
        self.lumps.append(Lump(size, self.at + after, name, cache=self.dice.random() < 0.3))
        one.state, one.code, one.death = "exited", code, None
        one.stuck_at = one.stuck_until = math.inf
        if removed:
            del self.servers[name]

    def reclaim(self) -> None:
        """Drop the page cache: of what was left behind, some was that."""
        self.lumps = [lump for lump in self.lumps if not lump.cache]

    def restart_engine(self, away_s: float, *, ends: bool) -> None:
        self.engine_until = self.at + away_s
        for name, one in self.servers.items():
            if ends and one.state == "running":
                self.stop(name, 137)

    def reboot(self) -> None:
        self.boot += 1
        self.lumps = []
        for one in self.servers.values():
            if one.state == "running":
                one.state, one.code, one.death = "exited", self.dice.choice((0, 137, 255)), None
        self.at += self.dice.uniform(30, 120)
        self.hands, self.closed_until, self.booted_at = {}, 0.0, self.at - self.dice.uniform(5, 20)
        self.engine_until = self.at + self.dice.uniform(2, 40)
        self.driver_until = self.at + self.dice.uniform(0, 60)
        self.folder_until = self.at + self.dice.uniform(0, 120)

    # --- what is seen -------------------------------------------------------------------------------------------------

    def lacks(self) -> str:
        if self.at < self.driver_until:
            return "the NVIDIA driver does not answer"
        return "the model's folder is not there" if self.at < self.folder_until else ""

    def seen(self, agent: str) -> BoxSeen:
        away = "the engine does not answer" if self.engine_away else ""
        services = [self._service(name) for name in SIZES]
        closed = "the guard admits no start" if self.at < self.closed_until else ""
        available, others = self.available, self.foreign
        return BoxSeen(tuple(services), agent, f"boot-{self.boot}", away, available, others, closed)

    def _service(self, name: str) -> SeenService:
        one, standing, worked = self.servers.get(name), self.standing.get(name), name in self.hands
        if one is None:
            return SeenService(name, standing=standing, lacks=self.lacks(), worked_on=worked)
        gone = one.state != "running"
        return SeenService(
            name,
            one.seen_state(self.at),
            one.life,
            exit_code=one.code,
            oom_killed=one.oom,
            worked_on=worked,
            standing=standing,
            held_bytes=0 if gone else one.resident(self.at),
            mods_lost=() if gone else one.mods_lost,
            differs=one.differs,
            lacks=self.lacks() if gone else "",
            cause=one.cause,
            passes=one.passes,
        )
