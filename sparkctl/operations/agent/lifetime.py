"""What is remembered about one life of a container between the agent's looks at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sparkctl.operations.status import liveness
from sparkctl.operations.status.liveness import STUCK_S, Life
from sparkctl.planning.agent.observation import SeenState

if TYPE_CHECKING:
    from sparkctl.operations.status.liveness import Look
    from sparkctl.vllm.failures import Diagnosis

GROWN_S: Final = 10.0
"""Over so long it is looked by how much a service grew (the guard's victims)."""
_STATES: Final = {
    Life.STARTING: SeenState.STARTING,
    Life.READY: SeenState.READY,
    Life.BUSY: SeenState.BUSY,
    Life.STUCK: SeenState.STUCK,
    Life.UNKNOWN: SeenState.UNKNOWN,
}


@dataclass
class Lifetime:
    """Looks at its server, its processes, what they held, how it ended, and its mods. Times are monotonic seconds.

    ``since`` is the first look at a server that has not moved since. ``ended`` is what its log says about its end.
    """

    since: Look | None = None
    last: Look | None = None
    pids: tuple[int, ...] = ()
    pids_at: float | None = None
    held: list[tuple[float, int]] = field(default_factory=list)
    read: bool = False
    ended: Diagnosis | None = None
    mods_at: float | None = None
    mods_lost: tuple[str, ...] = ()

    def judged(self, look: Look) -> SeenState:
        """Take a look, and return what the service does by it and those before."""
        since = self.since or look
        life, _ = liveness.judge(since, look)
        waited = look.at - since.at >= STUCK_S
        stands = self.last is not None and (
            liveness.doubtful(self.last, look) or liveness.judge(self.last, look)[0] in {Life.FAILING, Life.STUCK}
        )
        self.since = since if stands else look
        self.last = look
        if life is Life.FAILING:
            # One question that was not answered in time says nothing of a server that is busy.
            return SeenState.STUCK if waited else SeenState.BUSY
        return _STATES.get(life, SeenState.UNKNOWN)

    def holds(self, at: float, count: int | None) -> None:
        """Take note of the bytes that its processes hold."""
        if count is not None:
            self.held = [one for one in self.held if at - one[0] <= 2 * GROWN_S] + [(at, count)]

    @property
    def held_bytes(self) -> int | None:
        """The memory that its processes held at the last look, in bytes; None if that is not known."""
        return self.held[-1][1] if self.held else None

    @property
    def grown_bytes(self) -> int | None:
        """The growth of its memory in the last seconds, in bytes; None if there is no look from then."""
        if not self.held:
            return None
        at, now = self.held[-1]
        earlier = [count for when, count in self.held if at - when >= GROWN_S]
        return now - earlier[-1] if earlier else None
