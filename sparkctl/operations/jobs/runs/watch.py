"""A job's container watched until it ends: its phases, how far they are, what it has written, what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.base.errors import EngineError
from sparkctl.base.units import format_bytes, format_duration
from sparkctl.operations.jobs.runs.said import Said
from sparkctl.operations.services.image_pull import LAST_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.operations.context import World
    from sparkctl.world.engine import Container, Engine
    from sparkctl.world.host import Host

LOOK_S: Final = 0.3
LATER_S: Final = 1.0
"""Between two looks at the container and its log: in the first minute, and later."""
_FIRST_S: Final = 60.0
_COUNT_S: Final = 2.0
"""Between two counts of what is written and held: the engine is asked for processes, and the folder is listed."""
_ENDED: Final = ("exited", "dead")
_SHOWN: Final = 60
"""Characters of a tool's last line on the moving line."""


class WatchedRun(NamedTuple):
    """A run that ended, or was stopped: ``container`` as it was then, None: somebody removed it.

    ``peak_bytes`` is the most memory that it was seen to take, None: not seen. ``too_long``: it was still running when
    its time was over; ``too_much``: it had written more than was kept free for it, and the disk was about to be full.
    """

    container: Container | None
    said: Said
    peak_bytes: int | None
    too_long: bool = False
    too_much: int | None = None

    @property
    def well(self) -> bool:
        """Whether it ended as a script does that has made what it was to make."""
        return self.container is not None and ended_well(self.container, self.said)

    @property
    def seconds(self) -> float | None:
        """For how long the container ran; None where the engine does not say."""
        now = self.container
        if now is None or now.started_at is None or now.finished_at is None:
            return None
        return max(0.0, now.finished_at - now.started_at)


def ended_well(container: Container, said: Said) -> bool:
    """Return whether a container exited with 0 after it had said that all is made."""
    return container.state in _ENDED and container.exit_code == 0 and said.done


def said_of(engine: Engine, container: Container) -> Said:
    """Return what the script of a container has said, from its whole log."""
    said = Said()
    said.read(engine.logs(container.id))
    return said


class Watch:
    """Watches one run.

    ``expected_bytes`` is how large its product will be, ``room_bytes`` what the disk had to have free; None: not known.
    """

    def __init__(
        self, world: World, job: str, partial: Path, expected_bytes: int | None, room_bytes: int | None = None
    ) -> None:
        self._world = world
        self._job = job
        self._partial = partial
        self._expected = expected_bytes
        self._room = room_bytes
        self._meter = _Meter(world.engine, world.host)
        self._written = 0
        self._next = 0.0

    def until_end(self, identity: str, timeout_s: float) -> WatchedRun:
        """Wait for the end of a container, for ``timeout_s`` seconds from its start at most, and tell how it goes on.

        Raises:
            EngineError: the engine does not answer; the container goes on.
        """
        engine, clock = self._world.engine, self._world.ports.clock
        said, tail = Said(), engine.follow(identity)
        try:
            while True:
                now = engine.container(identity)
                said.read(tail.read())
                if now is None:
                    return WatchedRun(None, said, self._meter.peak(said))
                if now.state in _ENDED:
                    whole = self._whole(now, said)
                    return WatchedRun(now, whole, self._meter.peak(whole))
                took = clock.epoch() - (now.started_at or clock.epoch())
                if took >= timeout_s:
                    return WatchedRun(now, said, self._meter.peak(said), too_long=True)
                self._look(identity, said, took)
                if self._fills_the_disk():
                    return WatchedRun(now, said, self._meter.peak(said), too_much=self._written)
                clock.sleep(LOOK_S if took < _FIRST_S else LATER_S)
        finally:
            tail.close()

    def _whole(self, container: Container, said: Said) -> Said:
        """Return what was said from the whole log: the end of a followed one may not have come yet."""
        try:
            whole = said_of(self._world.engine, container)
        except EngineError:
            return said
        return whole if len(whole.phases) >= len(said.phases) else said

    def _fills_the_disk(self) -> bool:
        """Return whether it has written more than it was to, and little is left for everything else on the host."""
        if self._room is None or self._written <= self._room:
            return False
        free = self._world.host.disk_free_bytes(self._partial)
        return free is not None and free < LAST_BYTES

    def _look(self, identity: str, said: Said, took: float) -> None:
        now = self._world.ports.clock.monotonic()
        if now >= self._next:
            self._next = now + _COUNT_S
            self._meter.read(identity)
            products = self._world.ports.products
            self._written = sum(one.bytes for one in products.files(self._partial)) if products is not None else 0
        held = self._meter.now_bytes
        parts = [format_duration(took)]
        if said.fraction is not None:
            parts.append(f"{said.fraction:.0%}")
        if self._written:
            of = f" of {format_bytes(self._expected)}" if self._expected else ""
            parts.append(f"{format_bytes(self._written)}{of} written")
        if held:
            parts.append(f"memory {format_bytes(held)}")
        facts: dict[str, float | None] = {"seconds": took, "written_bytes": self._written}
        facts |= {"expected_bytes": self._expected, "memory_bytes": held}
        tail = "  ".join([*parts, said.tail[:_SHOWN]]).strip()
        self._world.report.progress(self._job, said.phase or "starting", tail, said.fraction, facts)


class _Meter:
    """What the processes of a container hold of the host's memory and of GPUs."""

    def __init__(self, engine: Engine, host: Host) -> None:
        self._engine = engine
        self._host = host
        self.now_bytes: int | None = None
        self._most = 0
        self._most_on_gpu = 0

    def read(self, identity: str) -> None:
        try:
            pids = self._engine.processes(identity)
        except EngineError:  # who waits hears of it from the next look at the container
            return
        on_gpu = self._host.gpu_bytes()
        resident = [self._host.resident_bytes(pid) for pid in pids]
        if not pids or None in resident:
            self.now_bytes = None
            return
        held = sum(on_gpu.get(pid, 0) for pid in pids)
        self.now_bytes = held + sum(count or 0 for count in resident)
        self._most, self._most_on_gpu = max(self._most, self.now_bytes), max(self._most_on_gpu, held)

    def peak(self, said: Said) -> int | None:
        """Return the most that was held: by the script's own count, which sees mapped files too, or as it was seen."""
        own = 0 if said.resident_bytes is None else said.resident_bytes + self._most_on_gpu
        return max(own, self._most) or None
