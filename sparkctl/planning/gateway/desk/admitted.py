"""What fits after which services have gone, by admission: the desk's question, answered from the last look. Pure."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from sparkctl.base.errors import InputError
from sparkctl.base.units import format_gib
from sparkctl.planning.admission import admit
from sparkctl.planning.gateway.desk.room import DeskRoom
from sparkctl.planning.refusal import arithmetic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.memory.pool import Pool
    from sparkctl.planning.admission import Wanted
    from sparkctl.planning.gateway.desk.room import Fits
    from sparkctl.planning.running import Running


def admitted(wanted: Mapping[str, Wanted], running: Sequence[Running], pool: Pool) -> Fits:
    """Return the function that answers what fits after some services have gone.

    ``wanted`` are the services of the stack by name, ``running`` is everything with a container on this host, including
    jobs and other people's services, and ``pool`` is what is available while all of these are there.
    """

    @cache
    def fits(going: frozenset[str], coming: tuple[str, ...]) -> DeskRoom:
        unknown = [name for name in coming if name not in wanted]
        if unknown:
            return DeskRoom(False, lambda: f"what {unknown[0]} takes is not known")
        left = [one for one in running if one.name not in going]
        asked = [wanted[name]._replace(after=coming[:place]) for place, name in enumerate(coming)]
        freed = _freed(running, going, pool)
        try:
            admission = admit(asked, left, freed, replace=True)
        except InputError as error:
            message = error.message
            return DeskRoom(False, lambda: message)
        if admission.fits:
            return DeskRoom(True)
        return DeskRoom(False, lambda: "\n".join([*arithmetic(asked, left, freed, admission), *_back(running, going)]))

    return fits


def _freed(running: Sequence[Running], going: frozenset[str], pool: Pool) -> Pool:
    """Return the memories once these services are gone."""
    for one in running:
        if one.name in going:
            for memory in one.memories:
                pool = pool.with_more(one.held(memory), memory)
    return pool


def _back(running: Sequence[Running], going: frozenset[str]) -> Iterator[str]:
    """Yield a line for each service that is counted as gone."""
    for one in running:
        if one.name in going and one.held_bytes:
            yield f"  {format_gib(one.held_bytes)} of {one.name} are counted as available: it may be stopped"
