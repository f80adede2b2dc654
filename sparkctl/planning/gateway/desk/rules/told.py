"""Notes on the desk what an event says; other rules decide what follows from it. Pure."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch
from typing import TYPE_CHECKING, Final

from sparkctl.planning.agent.restarts import wait_s
from sparkctl.planning.gateway.desk.effects import HoldService, RefusedFor
from sparkctl.planning.gateway.desk.events import (
    FarSeen,
    FirstByte,
    GuardClosed,
    MemoryLooked,
    RequestAsked,
    RequestEnded,
    RequestLeft,
    RequestRests,
    SeenAtDesk,
    ServerLost,
    ServicePinned,
    ServicesSeen,
    ServiceStarted,
    ServiceStopped,
    StackDeclared,
    StartFailed,
    StartGoesOn,
    StopFailed,
)
from sparkctl.planning.gateway.desk.request import RequestPlace
from sparkctl.planning.gateway.desk.rules.queue import arrive
from sparkctl.planning.gateway.desk.service import UP, DeskService, DeskState

if TYPE_CHECKING:
    from sparkctl.planning.gateway.desk.events import DeskEvent
    from sparkctl.planning.gateway.desk.state import DeskWork

LOST: Final = "its server takes no connection"
AGAIN_S: Final = 10.0
"""The latest time at which memory is looked at again after a refusal by admission, a choice."""


@singledispatch
def note(event: DeskEvent | object, work: DeskWork) -> None:
    """Note what an event says. An event that only lets time pass changes nothing."""


# --- requests -------------------------------------------------------------------------------------------------------


@note.register(RequestAsked)
def _(event: RequestAsked, work: DeskWork) -> None:
    arrive(work, event.request)
    service = work.services.get(event.request.service)
    if service is not None and service.state is DeskState.OFF:
        work.look_soon()


@note.register(RequestLeft)
def _(event: RequestLeft, work: DeskWork) -> None:
    _gone(work, event.id)


@note.register(RequestEnded)
def _(event: RequestEnded, work: DeskWork) -> None:
    _gone(work, event.id)


@note.register(FirstByte)
def _(event: FirstByte, work: DeskWork) -> None:
    request = work.requests.get(event.id)
    if request is not None and request.first_byte_at is None:
        work.change(replace(request, first_byte_at=work.now))


@note.register(RequestRests)
def _(event: RequestRests, work: DeskWork) -> None:
    request = work.requests.get(event.id)
    if request is None or request.place is RequestPlace.WAITING or not request.keeps:
        return
    place = RequestPlace.RESTING if event.rests else RequestPlace.SERVED
    if place is not request.place:
        work.change(replace(request, place=place))
        _used(work, request.service)


def _gone(work: DeskWork, request_id: str) -> None:
    request = work.requests.get(request_id)
    if request is None:
        return
    work.remove(request)
    if request.place is RequestPlace.SERVED:
        _used(work, request.service)


def _used(work: DeskWork, name: str) -> None:
    """Note that a service was used until now: idle time counts from the last byte of the last answer."""
    service = work.services.get(name)
    if service is not None:
        work.put(replace(service, used_at=work.now))
        if work.quiet(name):
            work.look_soon()


# --- outcomes -------------------------------------------------------------------------------------------------------


def _ours(work: DeskWork, name: str, state: DeskState) -> DeskService | None:
    """Return a service if the desk itself is doing this to it now. If the stack no longer has it, it is forgotten."""
    service = work.services.get(name)
    if service is None or not service.ours or service.state is not state:
        return None
    if service.gone:
        del work.services[name]
        work.look_soon()
        return None
    return service


@note.register(ServiceStarted)
def _(event: ServiceStarted, work: DeskWork) -> None:
    service = _ours(work, event.service, DeskState.STARTING)
    if service is not None:
        _ready(work, service)


@note.register(StartGoesOn)
def _(event: StartGoesOn, work: DeskWork) -> None:
    service = work.services.get(event.service)
    if service is not None and service.state is DeskState.STARTING:
        eta = service.eta_at if event.eta_s is None else work.now + event.eta_s
        work.put(replace(service, phase=event.phase, eta_at=eta))


@note.register(StartFailed)
def _(event: StartFailed, work: DeskWork) -> None:
    service = _ours(work, event.service, DeskState.STARTING)
    if service is None:
        return
    off = replace(service, state=DeskState.OFF, ours=False, phase="", eta_at=None, why=event.why)
    if event.no_room:
        work.put(off)
        work.look_again_at = work.now + AGAIN_S
        return
    bounds = service.declared.restarts
    failures = (*(at for at in service.failures if work.now - at <= bounds.within_s), work.now)
    fix = f"; {event.fix}" if event.fix else ""
    if not event.passes:
        _hold(work, off, f"{event.why}{fix}")
    elif len(failures) >= bounds.attempts:
        _hold(work, off, f"{len(failures)} starts failed, the last one so: {event.why}{fix}")
    else:
        work.put(replace(off, failures=failures, not_before=work.now + wait_s(bounds, len(failures), 0.0)))
    _refuse_failed(work, event)


def _hold(work: DeskWork, service: DeskService, why: str) -> None:
    work.put(replace(service, state=DeskState.HELD, why=why, failures=()))
    work.effects.append(HoldService(service.name, why))


def _refuse_failed(work: DeskWork, event: StartFailed) -> None:
    """Refuse the requests that waited for a failed start: it may fail again, and they have waited for minutes."""
    service = work.services[event.service]
    if service.state is DeskState.HELD:
        return
    words = f"{event.service} did not become ready: {event.why}"
    for request in work.waiting(event.service):
        work.refuse(request, RefusedFor.START_FAILED, words, retry_s=service.not_before - work.now)


@note.register(ServiceStopped)
def _(event: ServiceStopped, work: DeskWork) -> None:
    service = _ours(work, event.service, DeskState.STOPPING)
    if service is not None:
        work.put(replace(service, state=DeskState.OFF, ours=False, why="", busy=False))
        work.look_soon()


@note.register(StopFailed)
def _(event: StopFailed, work: DeskWork) -> None:
    service = _ours(work, event.service, DeskState.STOPPING)
    if service is None:
        return
    work.put(replace(service, state=DeskState.READY, ours=False, why=event.why, used_at=work.now))
    if work.making is not None and event.service in work.making.victims:
        work.making = None
    work.look_again_at = work.now + AGAIN_S


# --- what is seen ---------------------------------------------------------------------------------------------------


@note.register(ServicesSeen)
def _(event: ServicesSeen, work: DeskWork) -> None:
    work.others_start = event.others_start
    for look in event.services:
        service = work.services.get(look.service)
        if service is not None:
            _seen(work, service, look)


@note.register(FarSeen)
def _(event: FarSeen, work: DeskWork) -> None:
    for look in event.services:
        service = work.services.get(look.service)
        if service is not None and service.far:
            _seen(work, service, look)
            others = max(0, look.requests - work.serving(service.name))
            work.put(replace(work.services[service.name], others=others))


def _seen(work: DeskWork, service: DeskService, look: SeenAtDesk) -> None:
    """Note the observed state of a service, unless the desk itself works on it: then the outcome says more."""
    if service.ours:
        return
    before = service.state
    if look.state in UP:
        now_ready = service if service.up else _ready(work, service)
        state = DeskState.STUCK if look.state is DeskState.STUCK else DeskState.READY
        state = DeskState.DRAINING if service.state is DeskState.DRAINING else state
        elsewhere = look.busy and not work.serving(service.name)
        used_at = work.now if elsewhere else now_ready.used_at
        work.put(replace(now_ready, state=state, why=look.why, busy=elsewhere, used_at=used_at, seen_at=work.now))
        if service.busy and not elsewhere:
            work.look_soon()
        return
    eta = None if look.eta_s is None else work.now + look.eta_s
    died = (service.up or service.died) and look.state in {DeskState.OFF, DeskState.STOPPING}
    wanted = (service.wanted_at if service.wanted_at is not None else work.now) if look.wanted else None
    not_before = max(service.not_before, work.now + look.wait_s) if look.wait_s else service.not_before
    work.put(
        replace(
            service,
            state=look.state,
            why=look.why,
            phase=look.phase,
            eta_at=eta,
            busy=False,
            died=died,
            wanted_at=wanted,
            not_before=not_before,
        )
    )
    if look.state is not before:
        work.look_soon()


def _ready(work: DeskWork, service: DeskService) -> DeskService:
    """Note that a service is ready, from now on."""
    ready = replace(
        service,
        state=DeskState.READY,
        ours=False,
        why="",
        phase="",
        eta_at=None,
        died=False,
        wanted_at=None,
        ready_at=work.now,
        used_at=work.now,
        not_before=0.0,
        failures=(),
    )
    work.put(ready)
    work.look_soon()
    return ready


@note.register(ServerLost)
def _(event: ServerLost, work: DeskWork) -> None:
    service = work.services.get(event.service)
    if service is not None and service.state is DeskState.READY:
        work.put(replace(service, state=DeskState.STUCK, why=LOST))


@note.register(ServicePinned)
def _(event: ServicePinned, work: DeskWork) -> None:
    service = work.services.get(event.service)
    if service is not None:
        work.put(replace(service, pinned=event.pinned))
        work.look_soon()


# --- the box --------------------------------------------------------------------------------------------------------


@note.register(MemoryLooked)
def _(event: MemoryLooked, work: DeskWork) -> None:
    work.looking_at, work.looked_at, work.look_why = None, work.now, event.why
    work.look_again_at = work.now + AGAIN_S


@note.register(GuardClosed)
def _(event: GuardClosed, work: DeskWork) -> None:
    work.closed, work.closed_waits = event.why, event.waits
    work.look_soon()


@note.register(StackDeclared)
def _(event: StackDeclared, work: DeskWork) -> None:
    before = work.services
    work.services = {
        one.name: replace(before[one.name], declared=one, gone=False) if one.name in before else DeskService(one)
        for one in event.services
    }
    for name, one in before.items():
        if name not in work.services and one.ours:
            work.services[name] = replace(one, gone=True)
    work.look_soon()
