"""What becomes of the run of a job that is there when a command comes: joined, finished, or removed. Pure.

A run's container says by its labels what was asked and where it writes. A killed command leaves it as it is: it goes on
running, or has ended and nobody has looked at what it made.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from sparkctl.world.engine import Container
    from sparkctl.world.job_labels import JobLabels

_ENDED: Final = {"exited", "dead"}


class Settling(Enum):
    """What a command does about a run that it finds."""

    BEGIN = "nothing is there: begin"
    JOIN = "it runs: wait for its end"
    FINISH = "it ended well, and nobody has looked at what it made: check it and give it its name"
    REMOVE = "it was never started, or failed: remove what it left"
    BUSY = "another command waits for it: leave it alone"
    OTHER = "it makes something else, or has made it: leave it alone"


class FoundRun(NamedTuple):
    """A run as it is found. ``container`` is None where there is none; ``labels`` are None where they are damaged.

    ``well``: it exited with 0 after the phase ``done``. ``worked_on``: a command that runs waits for it.
    """

    container: Container | None = None
    labels: JobLabels | None = None
    well: bool = False
    worked_on: bool = False

    @property
    def ended(self) -> bool:
        """Whether its container has no process any more."""
        return self.container is not None and self.container.state in _ENDED

    @property
    def useless(self) -> bool:
        """Whether nothing can come of it any more: nobody waits for it, and it neither goes on nor can be finished."""
        if self.container is None or self.worked_on:
            return False
        return self.container.state == "created" or (self.ended and not (self.well and self.labels))


def settling(found: FoundRun, digest: str, output: str) -> Settling:
    """Return what a command that wants the product of ``digest`` in ``output`` does about a run of the same job."""
    if found.container is None:
        return Settling.BEGIN
    if found.worked_on:
        return Settling.BUSY
    if found.useless:
        return Settling.REMOVE
    if found.labels is None or (found.labels.digest, found.labels.output) != (digest, output):
        return Settling.OTHER
    return Settling.FINISH if found.ended else Settling.JOIN
