"""When time alone changes something at the desk: it is given a ``DeskTick`` then. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.planning.gateway.desk.rules import idle, waiting
from sparkctl.planning.gateway.desk.rules.making_room import LOST_S, candidates
from sparkctl.planning.gateway.desk.service import DeskState
from sparkctl.planning.gateway.desk.state import DeskWork

if TYPE_CHECKING:
    from sparkctl.planning.gateway.desk.state import Desk


def due_s(desk: Desk, now: float) -> float | None:
    """Return after how many seconds the desk is to be told that time has passed, None where time changes nothing."""
    work = DeskWork(desk, now)
    times = []
    for request in work.waiters():
        service = work.services[request.service]
        if request.stream:
            times.append(waiting.tell_at(request))
        if service.state is not DeskState.STARTING or not request.stream:
            times.append(request.until)
    for service in work.services.values():
        at = idle.idle_at(service)
        if at is not None and work.quiet(service.name):
            times.append(at)
    if candidates(work) and not work.closed and not work.starting:
        times.append(work.look_again_at if work.looking_at is None else work.looking_at + LOST_S)
    later = [each for each in times if each > now]
    return min(later) - now if later else None
