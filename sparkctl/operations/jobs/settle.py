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
    OTHER = "it runs with other values: leave it alone"


class FoundRun(NamedTuple):
    """A run as it is found. ``container`` is None where there is none; ``labels`` are None where they are damaged.

    ``well``: it exited with 0 after the phase ``done``. ``worked_on``: a command that runs waits for it.
    """

    container: Container | None = None
    labels: JobLabels | None = None
    well: bool = False
    worked_on: bool = False


def settling(found: FoundRun, digest: str) -> Settling:
    """Return what a command that wants the product of ``digest`` does about a run of the same job."""
    if found.container is None:
        return Settling.BEGIN
    if found.worked_on:
        return Settling.BUSY
    same = found.labels is not None and found.labels.digest == digest
    if found.container.state == "created":
        return Settling.REMOVE
    if found.container.state not in _ENDED:
        return Settling.JOIN if same else Settling.OTHER
    return Settling.FINISH if same and found.well else Settling.REMOVE


class Leftover(NamedTuple):
    """What no command and no container works on any more, in words; ``finishes`` a run whose product is to be checked.

    ``containers`` (ids) and ``folders`` are what is removed, ``records`` the runs whose records go with them.
    """

    words: str
    containers: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    records: tuple[str, ...] = ()


def leftover(found: FoundRun) -> bool:
    """Return whether what a run made is of no use any more: it can neither go on nor be finished."""
    if found.container is None or found.worked_on:
        return False
    if found.container.state == "created":
        return True
    return found.container.state in _ENDED and not found.well
