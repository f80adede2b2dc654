"""Which recipes fit on which host: every host asked at once, each as `fits` on that host alone answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.operations.hosts.answers import asked, refuse_twice
from sparkctl.operations.hosts.listed import hosts
from sparkctl.operations.memory.fits import fits

if TYPE_CHECKING:
    from sparkctl.operations.context import World
    from sparkctl.operations.hosts.answers import HostAnswer
    from sparkctl.operations.memory.fits import Fits


def fits_everywhere(world: World) -> list[HostAnswer[Fits]]:
    """Return how each recipe fits on each host of the file, beside what runs there; in the file's order.

    Raises:
        InputError: there are no hosts, or two names are one machine.
    """
    answers = asked(world, hosts(world).some(), lambda there, _: fits(there))
    refuse_twice(answers)
    return answers
