"""What a start takes while it goes on: readings of the host's memory and of the container's processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.errors import EngineError
from sparkctl.measurements import Sample

if TYPE_CHECKING:
    from sparkctl.ports import Engine, Host

PERIOD_S: Final = 2.0
"""Between two readings of the processes: the engine is asked for them, and NVML is opened. MemAvailable is read at
every look, because its lowest point passes quickly."""


class Sampler:
    """Takes samples of one container's start; ``samples`` are in the order of time."""

    def __init__(self, engine: Engine, host: Host, container: str, now: float) -> None:
        self._engine = engine
        self._host = host
        self._container = container
        self._next = now
        self.samples = [Sample(now, host.memory().available_bytes)]

    def look(self, now: float, *, closely: bool = False) -> None:
        """Take a sample; the processes are asked when their time has come, or ``closely``."""
        available = self._host.memory().available_bytes
        if now < self._next and not closely:
            self.samples.append(Sample(now, available))
            return
        self._next = now + PERIOD_S
        try:
            pids = self._engine.processes(self._container)
        except EngineError:  # who waits hears of it from the next look at the container
            pids = ()
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
