"""When time alone changes something at the desk: it is given a ``DeskTick`` then. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sparkctl.planning.gateway.desk.rules import idle, waiting
from sparkctl.planning.gateway.desk.rules.making_room import LOST_S, candidates
from sparkctl.planning.gateway.desk.rules.queueing import waits_until
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
        times.append(waits_until(request, service))
    for service in work.services.values():
        at = idle.idle_at(service)
        if at is not None and not work.starting and work.quiet(service.name):
            times.append(at)
    if candidates(work) and not work.closed and not work.starting:
        times.append(work.look_again_at if work.looking_at is None else work.looking_at + LOST_S)
    later = [each for each in times if now < each < math.inf]
    return min(later) - now if later else None
