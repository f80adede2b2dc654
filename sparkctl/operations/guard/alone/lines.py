"""The guard's decision: from how much memory is available, and how fast it goes, to what is done about it. Pure.

There are three lines, reserve > act > floor, on MemAvailable. Below the reserve nothing new is started; below the act
line a service has to end; below the floor it is killed at once. How fast the host is looked at follows from how long
the fastest fall that was published takes to the act line (NVIDIA/dgx-spark-playbooks#116: 14 GiB/s).
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing has it; typing itself would take 1.9 MiB of what the guard locks in memory
if TYPE_CHECKING:
    from typing import Final

GIB: Final = 1 << 30
RESERVE_BYTES: Final = 10 * GIB
"""As ``memory.pool`` has it, which cannot be imported here; so are the next two. A test compares them."""
ACT_BYTES: Final = 6 * GIB
FLOOR_BYTES: Final = 4 * GIB

FASTEST: Final = 14 * GIB
"""Bytes a second: 34.0 to 12.7 GiB in about 1.5 s while a training resumed (NVIDIA/dgx-spark-playbooks#116)."""
SOONEST_S: Final = 0.1
LATEST_S: Final = 1.0
"""Between two looks. Choices: nohang and earlyoom look every 0.1 to 3 s."""
SLOPE_S: Final = 1.0
"""The time over which a rate is taken."""
SLOW: Final = GIB // 2
"""Bytes a second: of what falls more slowly a service is asked to end, which a vLLM takes 3 s for. A choice."""
AHEAD_S: Final = 2.0
"""The floor is so near, at this rate, that the act line is not looked at a second time. A choice."""
LOOKS: Final = 3
"""Below the act line, before a service has to end. A choice: one look may be a moment's."""
HOLD_S: Final = 5.0
"""After a kill nothing else is killed for so long: what was killed gives its memory back meanwhile. A choice."""
RISING: Final = GIB // 10
COMES_BACK_S: Final = 120.0
"""While memory comes back faster than so many bytes a second, no second service has to end, for two minutes after a
kill. Choices."""
REOPEN_BYTES: Final = 2 * GIB
REOPEN_S: Final = 30.0
"""Admission is open again when so much more than the reserve was available for so long. Choices."""
FREE_BYTES: Final = 8 * GIB
"""MemFree, while a start runs: below it the driver finds no large blocks, and caches are dropped. Operators of a GB10
do so at 8 GiB (tonyd2wild/GLM-5.3-Flash-NVFP4-DFlash2-2x-DGX-Spark, field report)."""
RECLAIM_S: Final = 1.0

NOTHING: Final = 0
ASK: Final = 1
KILL: Final = 2
CLEAN: Final = 3
STRIKES: Final = ("nothing", "ask", "kill", "clean")
"""The signal for a victim: SIGTERM, or SIGKILL; afterwards its remains in shared memory are removed."""

CALM: Final = 0
BELOW_ACT: Final = 1
SOON_AT_FLOOR: Final = 2
BELOW_FLOOR: Final = 3
WHYS: Final = ("calm", "below the act line", "soon at the floor", "below the floor")

_SAMPLES: Final = 16


class Lines:
    """The lines, in bytes of MemAvailable.

    Raises ValueError unless reserve > act > floor > 0: a host that is below a line of the guard in its usual state
    would lose its service at every start (Blackwellboy/model-serving-minefield#134).
    """

    __slots__ = ("act", "floor", "reserve")

    def __init__(self, reserve: int = RESERVE_BYTES, act: int = ACT_BYTES, floor: int = FLOOR_BYTES) -> None:
        if not reserve > act > floor > 0:
            found = ", ".join(
                f"{name} {value / GIB:.2f} GiB"
                for name, value in (("reserve", reserve), ("act", act), ("floor", floor))
            )
            raise ValueError(f"expected reserve > act > floor > 0, found {found}")
        self.reserve = reserve
        self.act = act
        self.floor = floor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lines) and self.values == other.values

    def __hash__(self) -> int:
        return hash(self.values)

    def __repr__(self) -> str:
        return f"Lines(reserve={self.reserve}, act={self.act}, floor={self.floor})"

    @property
    def values(self) -> tuple[int, int, int]:
        """Reserve, act and floor."""
        return self.reserve, self.act, self.floor

    @property
    def in_time(self) -> bool:
        """Whether the fastest fall is met before nothing is left: it takes two looks' worth below the act line."""
        return self.act > 2 * FASTEST * SOONEST_S


def look_again_s(available: int, lines: Lines) -> float:
    """Return after how many seconds to look again: when the fastest fall would be at the act line."""
    return min(max((available - lines.act) / FASTEST, SOONEST_S), LATEST_S)


class Verdict:
    """The next steps: whether admission is closed, whether caches are dropped, and the victim's signal and its reason.

    ``rate`` is the fall in bytes a second, over the last second or since the last look, whichever is faster; negative
    where memory comes back; ``crossed_s`` is the moment, by the
    caller's clock, at which the line was crossed that the strike is about, told from the two looks around it.
    """

    __slots__ = ("closed", "crossed_s", "rate", "reclaim", "strike", "why")

    def __init__(self) -> None:
        self.closed = False
        self.reclaim = False
        self.strike = NOTHING
        self.why = CALM
        self.rate = 0.0
        self.crossed_s = 0.0


class Judge:
    """Judges one look after the other. It has no clock: each look comes with its time, which never goes back.

    One verdict is used again for every look, so that nothing new has to be held in memory when it counts.
    """

    __slots__ = (
        "_above_since",
        "_asked_s",
        "_at",
        "_below",
        "_crossed_act_s",
        "_crossed_floor_s",
        "_killed_s",
        "_levels",
        "_lines",
        "_number",
        "_over_floor",
        "_reclaimed_s",
        "_slope",
        "_times",
        "_verdict",
    )

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._verdict = Verdict()
        self._times = [0.0] * _SAMPLES
        self._levels = [0] * _SAMPLES
        self._at = -1
        self._number = 0
        self._below = 0
        self._slope = 0.0
        self._above_since: float | None = None
        self._asked_s: float | None = None
        self._killed_s: float | None = None
        self._reclaimed_s: float | None = None
        self._over_floor = False
        self._crossed_act_s = 0.0
        self._crossed_floor_s = 0.0

    @property
    def lines(self) -> Lines:
        """The lines that it judges by."""
        return self._lines

    def change(self, lines: Lines) -> None:
        """Judge by other lines from now on; what was seen and done stays."""
        self._lines = lines
        self._below = 0

    def missed(self) -> None:
        """Take back the strike of the last look: there was nobody to hit, so nobody gives memory back."""
        if self._verdict.strike == KILL:
            self._killed_s = None
        elif self._verdict.strike == ASK:
            self._asked_s = None

    def look(self, now: float, available: int, free: int, *, starting: bool) -> Verdict:
        """Judge a look: ``available`` and ``free`` bytes at ``now`` (seconds); ``starting``: weights may be loading."""
        lines, verdict = self._lines, self._verdict
        self._note_crossings(now, available)
        last = self._last_rate(now, available)
        self._slope = self._rate(now, available)
        verdict.rate = max(self._slope, last)
        self._admit(now, available)
        verdict.reclaim = (
            starting and free < FREE_BYTES and (self._reclaimed_s is None or now - self._reclaimed_s >= RECLAIM_S)
        )
        if verdict.reclaim:
            self._reclaimed_s = now
        again = self._over_floor and available < lines.floor
        if available >= lines.floor:
            self._over_floor = True
        self._below = self._below + 1 if available < lines.act else 0
        if not self._below:
            self._asked_s = None  # it gave back what it was asked for
        self._strike(now, available, again=again)
        return verdict

    def _note_crossings(self, now: float, available: int) -> None:
        lines = self._lines
        if self._number == 0:
            self._crossed_act_s = self._crossed_floor_s = now
            return
        then, before = self._times[self._at], self._levels[self._at]
        if available < lines.act <= before:
            self._crossed_act_s = then + (now - then) * (before - lines.act) / (before - available)
        if available < lines.floor <= before:
            self._crossed_floor_s = then + (now - then) * (before - lines.floor) / (before - available)

    def _last_rate(self, now: float, available: int) -> float:
        """Return the fall in bytes a second since the last look: a sudden one is a second's only after a second."""
        since = self._times[self._at]
        if not self._number or now <= since:
            return 0.0
        return (self._levels[self._at] - available) / (now - since)

    def _rate(self, now: float, available: int) -> float:
        """Keep a look, and return the fall in bytes a second since the earliest one of the last second.

        Where the last look is longer ago than that, since the last look.
        """
        since, level = now, available
        for back in range(min(self._number, _SAMPLES)):
            place = (self._at - back) % _SAMPLES
            if back and now - self._times[place] > SLOPE_S:
                break
            since, level = self._times[place], self._levels[place]
        self._at = (self._at + 1) % _SAMPLES
        self._times[self._at], self._levels[self._at] = now, available
        self._number += 1
        return (level - available) / (now - since) if now > since else 0.0

    def _admit(self, now: float, available: int) -> None:
        lines, verdict = self._lines, self._verdict
        if available < lines.reserve:
            verdict.closed = True
        if not verdict.closed or available < lines.reserve + REOPEN_BYTES:
            self._above_since = None
        elif self._above_since is None:
            self._above_since = now
        elif now - self._above_since >= REOPEN_S:
            verdict.closed = False
            self._above_since = None

    def _strike(self, now: float, available: int, *, again: bool) -> None:
        """Decide on the victim; ``again``: the floor was crossed since the last kill."""
        verdict = self._verdict
        verdict.strike, verdict.why = NOTHING, self._why(available)
        if verdict.why == CALM or self._held(now, again=again):
            return
        verdict.crossed_s = self._crossed_floor_s if verdict.why == BELOW_FLOOR else self._crossed_act_s
        ask = verdict.why != BELOW_FLOOR and verdict.rate < SLOW
        if ask and self._asked_s is not None:
            if now - self._asked_s < HOLD_S:
                return
            ask = False  # it did not end when it was asked
        if ask:
            verdict.strike, self._asked_s = ASK, now
        else:
            verdict.strike, self._killed_s, self._asked_s = KILL, now, None
            self._over_floor = available >= self._lines.floor

    def _why(self, available: int) -> int:
        """Return why the victim has to end, CALM where it has not."""
        if not self._below:
            return CALM
        over = available - self._lines.floor
        if over < 0:
            return BELOW_FLOOR
        if self._verdict.rate > 0 and over <= self._verdict.rate * AHEAD_S:
            return SOON_AT_FLOOR
        return BELOW_ACT if self._below >= LOOKS else CALM

    def _held(self, now: float, *, again: bool) -> bool:
        """Return whether a kill gives its memory back meanwhile."""
        if self._killed_s is None or again:
            return False
        since = now - self._killed_s
        return since < HOLD_S or (since < COMES_BACK_S and self._slope < -RISING)
