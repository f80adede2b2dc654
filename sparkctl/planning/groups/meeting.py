"""Whether the ranks of a group meet, by their logs: reported after a minute, while vLLM waits ten minutes or more.

Ranks load minutes apart, so nothing is concluded while one of them has not come to the meeting: its container runs, or
has ended, which is the answer. Once all wait for each other, a minute is long: normally they meet within a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.vllm.phases import Meeting, meeting

if TYPE_CHECKING:
    from collections.abc import Iterable

MEET_S: Final = 60.0
"""After this wait the meeting counts as failed: a choice; vLLM waits 600 s with NCCL, 1800 s with gloo."""


class Ranks(NamedTuple):
    """For each rank, since when it has waited for the others (seconds of one clock), and whether it has met them."""

    waits: tuple[float | None, ...]
    met: tuple[bool, ...]

    @staticmethod
    def of(count: int) -> Ranks:
        """Return ``count`` ranks, none of which has logged anything."""
        return Ranks((None,) * count, (False,) * count)

    def with_lines(self, rank: int, lines: Iterable[str], now: float) -> Ranks:
        """Return the ranks with new lines of one rank's log added."""
        waits, met = self.waits[rank], self.met[rank]
        for line in lines:
            found = meeting(line)
            if found is Meeting.WAITS and waits is None:
                waits = now
            met = met or found is Meeting.MET
        before, after = slice(None, rank), slice(rank + 1, None)
        return Ranks((*self.waits[before], waits, *self.waits[after]), (*self.met[before], met, *self.met[after]))

    def in_vain(self, now: float) -> bool:
        """Return whether all ranks have waited for each other for too long, and none has met another."""
        since = [one for one in self.waits if one is not None]
        return not any(self.met) and len(since) == len(self.waits) and now - max(since) >= MEET_S

    def missing(self) -> tuple[int, ...]:
        """Return the ranks that have not come to the meeting yet."""
        return tuple(rank for rank, since in enumerate(self.waits) if since is None and not self.met[rank])

    def late(self, now: float) -> tuple[int, ...]:
        """Return the ranks that have not come yet, if another one has waited for them for a minute."""
        since = [one for one in self.waits if one is not None]
        return self.missing() if since and now - min(since) >= MEET_S else ()
