"""What a start takes while it goes on: readings of the host's memory and of the container's processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import EngineError
from sparkctl.operations.memory import machine
from sparkctl.planning.measured import Sample, WatchedStart

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sparkctl.world.engine import Engine
    from sparkctl.world.host import Host

PERIOD_S: Final = 2.0
"""Between two readings of the processes: the engine is asked for them, and NVML is opened. MemAvailable is read at
every look, because its lowest point passes quickly."""

IDLE_CPU: Final = 0.05
"""Of one core: what an idle API server and its engine use together is less; a process that ended counts as activity."""


class Sampler:
    """Takes samples of one container's start; ``samples`` are in the order of time.

    ``before_s`` is for how long the container has run at ``now``: 0 for one that is about to be started. What is
    available is MemAvailable and, of a service that is on ``cards``, what is free of these.
    """

    def __init__(
        self,
        engine: Engine,
        host: Host,
        container: str,
        now: float,
        before_s: float = 0.0,
        cards: Collection[str] = (),
    ) -> None:
        self._engine = engine
        self._host = host
        self._container = container
        self.before_s = before_s
        self._next = now
        self._used: tuple[float, float, int] | None = None
        self.active: bool | None = None
        """Whether its processes used CPU or read from the disk between the last two readings; None: not known."""
        self.reads_seen = True
        """Whether reads from the disk are among what is known: another user's processes show their CPU alone."""
        self.alone = True
        """Whether no other service started meanwhile, as far as whoever takes the samples knows."""
        self._cards = cards
        self._shown: list[int] = []
        self.samples = [Sample(now, self._available())]

    def look(self, now: float, *, closely: bool = False) -> None:
        """Take a sample; the processes are asked when their time has come, or ``closely``."""
        available = self._available()
        if now < self._next and not closely:
            self.samples.append(Sample(now, available))
            return
        self._next = now + PERIOD_S
        try:
            pids = self._engine.processes(self._container)
        except EngineError:  # who waits hears of it from the next look at the container
            pids = ()
        self._note_activity(now, pids)
        on_gpu = self._host.gpu_bytes()
        resident = [self._host.resident_bytes(pid) for pid in pids]
        self.samples.append(
            Sample(
                now,
                available,
                sum(on_gpu.get(pid, 0) for pid in pids),
                None if None in resident else sum(count or 0 for count in resident),
            )
        )

    @property
    def watched(self) -> WatchedStart:
        """What was seen so far."""
        return WatchedStart(tuple(self.samples), self.before_s, alone=self.alone)

    @property
    def available_bytes(self) -> int:
        """MemAvailable at the last look, or what was free of its cards."""
        return self._shown[-1]

    @property
    def lowest_bytes(self) -> int:
        """The same at its lowest."""
        return min(self._shown)

    def _available(self) -> int:
        memory = self._host.memory().available_bytes
        on_cards = machine.free_bytes(self._host, self._cards) if self._cards else 0
        self._shown.append(on_cards if self._cards else memory)
        return memory + on_cards

    def _note_activity(self, now: float, pids: Sequence[int]) -> None:
        found = [self._host.activity(pid) for pid in pids]
        known = [one for one in found if one is not None]
        if not known:
            self.active, self._used = None, None
            return
        self.reads_seen = all(one.read_bytes is not None for one in known)
        used = (now, sum(one.cpu_s for one in known), sum(one.read_bytes or 0 for one in known))
        before, self._used = self._used, used
        if before is not None and now > before[0]:
            busy = (used[1] - before[1]) / (now - before[0])
            self.active = abs(busy) >= IDLE_CPU or used[2] != before[2]
