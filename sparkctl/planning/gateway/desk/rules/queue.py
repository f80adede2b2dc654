"""Which requests are served at once, which wait, and which are refused. Pure.

A ready service answers as many requests at once as its limit says; as many more wait as its queue says, and the next
gets 429: elsewhere a silent limit of ten in flight surprised (mostlygeek/llama-swap#263). Requests for a service that
is not there are bounded in the same way, since they will be served in the same way.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sparkctl.base.units import format_duration
from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.gateway.desk.effects import RefusedFor
from sparkctl.planning.gateway.desk.request import RequestPlace
from sparkctl.planning.gateway.desk.rules import before, holders, refusing
from sparkctl.planning.gateway.desk.service import DeskState

if TYPE_CHECKING:
    from sparkctl.planning.gateway.desk.request import DeskRequest
    from sparkctl.planning.gateway.desk.service import DeskService
    from sparkctl.planning.gateway.desk.state import DeskWork

QUEUE_RETRY_S: Final = 5.0
"""When to retry after a full queue, in seconds, a choice: an answer of some hundred tokens takes about that long."""


def arrive(work: DeskWork, asked: DeskRequest) -> None:
    """Accept a request, or refuse it if too many are before it."""
    request = replace(
        asked,
        may_start=asked.may_start and asked.keeps and not asked.sent,
        at=work.now,
        place=RequestPlace.WAITING,
        served_at=None,
        first_byte_at=None,
        told_at=None,
    )
    service = work.services.get(request.service)
    work.change(request)
    if service is None or service.gone:
        return
    if request.sent:
        return  # it was accepted earlier
    if not request.keeps and service.state is DeskState.READY:
        work.forward(request)
        return
    limit, queue = service.declared.limit, service.declared.queue
    before = len(work.waiting(service.name)) - 1 + work.serving(service.name) * service.up
    if before >= limit + queue:
        words = f"{service.name} answers {limit} requests at once, and {queue} more wait for it: its queue is full"
        work.refuse(request, RefusedFor.QUEUE_FULL, words, retry_s=QUEUE_RETRY_S)


def serve(work: DeskWork) -> None:
    """Hand to each ready service as many as it answers at once."""
    for name in work.asked_for():
        service = work.services.get(name)
        if service is not None and service.state is DeskState.READY:
            free = max(0, service.declared.limit - work.serving(name))
            waiting = [one for one in work.waiting(name) if not one.sent]
            for request in [*waiting[:free], *(one for one in waiting[free:] if not one.keeps)]:
                work.forward(request)


def refuse(work: DeskWork) -> None:
    """Refuse each request whose service cannot come, or that has waited as long as it may."""
    for request in work.waiters():
        service = work.services.get(request.service)
        if service is None or service.gone:
            words = f"{request.service} is no service of the stack that is applied"
            work.refuse(request, RefusedFor.UNKNOWN, words, final=True)
        elif request.sent:
            refusing.broken_off(work, request, service)
        elif service.state in {DeskState.HELD, DeskState.PAUSED}:
            refusing.stands_still(work, request, service)
        elif service.state in {DeskState.OFF, DeskState.STOPPING, DeskState.DRAINING}:
            _cold(work, request, service)
        elif work.now >= waits_until(request, service):
            _waited_out(work, request, service)


def waits_until(request: DeskRequest, service: DeskService) -> float:
    """Return until when a request waits at most for its service in its present state.

    A stream waits for a start until it ends, however long, and then for its turn as if it had just come.
    """
    if request.sent:
        return request.until
    if request.stream and service.state is DeskState.STARTING:
        return math.inf
    if request.stream and service.state is DeskState.READY:
        return max(request.until, service.ready_at + request.wait_s)
    return request.until


def _cold(work: DeskWork, request: DeskRequest, service: DeskService) -> None:
    """Refuse a request for a service that has to be started first, if that start is not to be expected."""
    name = service.name
    if service.far:
        work.refuse(request, RefusedFor.NOT_ALLOWED, refusing.far_words(service), retry_s=refusing.CLOSED_RETRY_S)
        return
    still = before.stands_still(work, service)
    not_before, latest = before.waits_until(work, service)
    if work.closed and not work.closed_waits:
        words = f"{name} is not running, and nothing is started now: {work.closed}"
        work.refuse(request, RefusedFor.CLOSED, words, retry_s=refusing.CLOSED_RETRY_S)
    elif service.declared.start is StartMode.MANUAL:
        words = f"{name} is not running, and is started by hand alone{refusing.by_hand(service)}"
        work.refuse(request, RefusedFor.NOT_ALLOWED, words, final=True)
    elif not request.may_start and service.wanted_at is None and not comes_back(service):
        words = f"{name} is not running, and this request may not start it{refusing.by_hand(service)}"
        work.refuse(request, RefusedFor.NOT_ALLOWED, words, final=True)
    elif still is not None:
        kind, words = still
        work.refuse(request, kind, words, final=True)
    elif service.state is DeskState.OFF and not_before > work.now and not _in_time(request, service, not_before):
        left = not_before - work.now
        why = f": {latest.why}" if latest.why else ""
        after = "" if latest is service else f"{name} comes after {latest.name}: "
        words = (
            f"{after}{latest.name} is not ready{why}; it is started again in {format_duration(left)} at the earliest"
        )
        work.refuse(request, RefusedFor.START_FAILED, words, retry_s=left)
    elif work.now >= request.until:
        _waited_out(work, request, service)


def comes_back(service: DeskService) -> bool:
    """Return whether a missing service is restarted without a request: it ended by itself."""
    return service.died and service.declared.start is StartMode.ALWAYS


def _in_time(request: DeskRequest, service: DeskService, not_before: float) -> bool:
    """Return whether a request may wait for the restart of a server that died, as it waits for a cold start."""
    return service.died and not_before + service.declared.load_s <= request.until


def stuck(service: DeskService) -> str:
    """Return that a server makes no steps, or takes no connection, in words."""
    return f"{service.name} is stuck{f': {service.why}' if service.why else ''}"


def _waited_out(work: DeskWork, request: DeskRequest, service: DeskService) -> None:
    """Refuse a request that has waited as long as it may; say what it waited for, and when that may be there."""
    waited = f"{service.name} was not there within {format_duration(request.wait_s)}"
    if service.state is DeskState.STARTING:
        left = None if service.eta_at is None else max(service.eta_at - work.now, 1.0)
        then = "" if left is None else f", about {format_duration(left)} left"
        work.refuse(
            request, RefusedFor.WAITED_OUT, f"{waited}: it is starting{then}", retry_s=left or refusing.CLOSED_RETRY_S
        )
        return
    if service.state is DeskState.STUCK:
        work.refuse(request, RefusedFor.WAITED_OUT, f"{waited}: {stuck(service)}", retry_s=refusing.CLOSED_RETRY_S)
        return
    if service.state is DeskState.READY:
        limit = service.declared.limit
        words = f"{service.name} answers {limit} requests at once, and others were before this one for "
        words += format_duration(request.wait_s)
        work.refuse(request, RefusedFor.QUEUE_FULL, words, retry_s=QUEUE_RETRY_S)
        return
    words, left = holders.holders(work, service)
    work.refuse(request, RefusedFor.WAITED_OUT, f"{waited}: {words}", retry_s=left or refusing.CLOSED_RETRY_S)
