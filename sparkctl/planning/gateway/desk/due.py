"""When the passing of time alone changes something at the desk: then it is given a ``DeskTick``. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sparkctl.planning.gateway.desk.rules import idle, making_room, waiting_words
from sparkctl.planning.gateway.desk.rules.queue import waits_until
from sparkctl.planning.gateway.desk.state import DeskWork

if TYPE_CHECKING:
    from sparkctl.planning.gateway.desk.state import Desk


def due_s(desk: Desk, now: float) -> float | None:
    """Return after how many seconds the desk has to be told that time has passed, None if time changes nothing.

    Right after a step it is more than 0.
    """
    work = DeskWork(desk, now)
    times = []
    for request in work.waiters():
        service = work.services[request.service]
        if request.stream:
            times.append(waiting_words.tell_at(request))
        times.append(waits_until(request, service))
    for service in work.services.values():
        at = idle.idle_at(service)
        if at is not None and not work.starting and work.quiet(service.name):
            times.append(at)
    look_at = making_room.look_at(work)
    if look_at is not None:
        times.append(look_at)
    first = min(times, default=math.inf)
    return None if first == math.inf else max(0.0, first - now)
