"""What a request is told while it waits. Pure.

In a stream it is a comment, after 5 s for the first time and then every 10 s: idle limits of 30, 60 and 90 s are common
in front of servers (BerriAI/litellm#37322, cline/cline#12839).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sparkctl.base.units import format_duration
from sparkctl.planning.gateway.desk.effects import TellWaiter
from sparkctl.planning.gateway.desk.request import RequestPlace
from sparkctl.planning.gateway.desk.rules import before
from sparkctl.planning.gateway.desk.rules.holders import holders
from sparkctl.planning.gateway.desk.rules.queue import stuck
from sparkctl.planning.gateway.desk.service import DeskState
from sparkctl.planning.gateway.desk.state import Desk, DeskWork

if TYPE_CHECKING:
    from sparkctl.planning.gateway.desk.request import DeskRequest
    from sparkctl.planning.gateway.desk.room import MakingRoom
from sparkctl.planning.gateway.desk.service import DeskService

FIRST_S: Final = 5.0
"""A quick start is awaited silently, so that a refusal can still have its status."""
EVERY_S: Final = 10.0


def tell_at(request: DeskRequest) -> float:
    """Return when a waiting request is next told what it waits for."""
    return request.at + FIRST_S if request.told_at is None else request.told_at + EVERY_S


def tell(work: DeskWork) -> None:
    """Tell each waiting stream what it waits for, if it is time."""
    for request in work.waiters():
        if request.stream and work.now >= tell_at(request):
            words = _words(work, request)
            work.change(replace(request, told_at=work.now))
            work.effects.append(TellWaiter(request.id, f"sparkctl {words}"))


def waiting_words(desk: Desk, request: DeskRequest, now: float) -> str:
    """Return what a request waits for, for the page: words without an end; "" for one that does not wait."""
    return _words(DeskWork(desk, now), request) if request.place is RequestPlace.WAITING else ""


def _words(work: DeskWork, request: DeskRequest) -> str:
    service = work.services.get(request.service)
    if service is None:
        return ""
    if service.state is DeskState.STARTING:
        return _starting(service, work.now)
    if service.state is DeskState.READY:
        before = [one.id for one in work.waiting(service.name)].index(request.id)
        limit = service.declared.limit
        return f"waiting for {service.name}: {limit} requests are answered at once, {before} before this one"
    if service.state is DeskState.STUCK:
        return f"waiting for {service.name}: {stuck(service)}"
    return _cold(work, service)


def _cold(work: DeskWork, service: DeskService) -> str:
    first = before.missing(work, service)
    if not first:
        return _alone(work, service)
    one = first[0]
    doing = _starting(one, work.now) if one.state is DeskState.STARTING else _alone(work, one)
    return f"waiting for {service.name}, which comes after {one.name}: {doing}"


def _alone(work: DeskWork, service: DeskService) -> str:
    """Return what a missing service waits for, other than the services that it comes after."""
    making, name = work.making, service.name
    if making is not None and making.coming == name:
        return _making_room(work, making)
    if service.state in {DeskState.DRAINING, DeskState.STOPPING}:
        return f"waiting for {name}: it is being stopped, and is started again"
    if work.closed:
        return f"waiting for {name}: {work.closed}"
    if service.died and service.not_before > work.now:
        why = f" ({service.why})" if service.why else ""
        left = format_duration(service.not_before - work.now)
        return f"waiting for {name}: it ended{why}, and is started again in {left}"
    return f"waiting for room for {name}: {holders(work, service)[0]}"


def _making_room(work: DeskWork, making: MakingRoom) -> str:
    those, name = ", ".join(sorted(making.victims)), making.coming
    if making.stopping:
        return f"making room for {name}: stopping {those}"
    number = sum(work.serving(one) for one in making.victims)
    return f"making room for {name}: {those} ends {number} answer{'s' if number != 1 else ''} first"


def _starting(service: DeskService, now: float) -> str:
    phase = f", {service.phase}" if service.phase else ""
    left = None if service.eta_at is None else service.eta_at - now
    if left is None:
        return f"starting {service.name}{phase}"
    if left <= 0:
        return f"starting {service.name}{phase}, longer than usual"
    return f"starting {service.name}{phase}, about {format_duration(left)} left"
