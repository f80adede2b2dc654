"""Refusals for services that an operator or a failure keeps down, and for requests that a server left open. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.gateway.desk.effects import RefusedFor
from sparkctl.planning.gateway.desk.service import DeskState

if TYPE_CHECKING:
    from sparkctl.planning.gateway.desk.request import DeskRequest
    from sparkctl.planning.gateway.desk.service import DeskService
    from sparkctl.planning.gateway.desk.state import DeskWork

CLOSED_RETRY_S: Final = 30.0
"""When the guard has closed admission: it is opened again after 30 s above the reserve at the earliest."""
KNOWN_WITHIN_S: Final = 15.0
"""How long such a request waits for the agent's look, a choice: a look takes seconds if servers hang."""
_AGAIN_S: Final = 1.0
"""After this time a new request is worthwhile for a service that starts on request."""


def stands_still(work: DeskWork, request: DeskRequest, service: DeskService) -> None:
    """Refuse a request for a service that no request starts, and name the command that starts it."""
    held = service.state is DeskState.HELD
    doing = "is held" if held else "is paused"
    kind = RefusedFor.HELD if held else RefusedFor.PAUSED
    why = f": {service.why}" if service.why else ""
    work.refuse(request, kind, f"{service.name} {doing}{why}{by_hand(service)}", final=True)


def by_hand(service: DeskService) -> str:
    """Return how an operator starts it, as words to be added."""
    return f"; {service.declared.command} starts it" if service.declared.command else ""


def far_words(service: DeskService) -> str:
    """Return that a service of another host does not answer, and how an operator starts it."""
    why = service.why or "no host that answers has it"
    return f"{service.name} is not running: {why}{by_hand(service)}"


def broken_off(work: DeskWork, request: DeskRequest, service: DeskService) -> None:
    """Refuse a request that a server had and did not answer, with what is known of that server now."""
    how = f"the server of {service.name} broke off before it answered"
    if service.state in {DeskState.HELD, DeskState.PAUSED}:
        stands_still(work, request, service)
    elif service.up:
        looked = service.state is not DeskState.STUCK and service.seen_at > request.at
        if looked or work.now >= request.until:
            work.refuse(request, RefusedFor.DIED, how)
    elif service.far and service.state is not DeskState.STARTING:
        work.refuse(request, RefusedFor.START_FAILED, f"{how}: {far_words(service)}", retry_s=CLOSED_RETRY_S)
    elif service.declared.start is StartMode.MANUAL and service.state is not DeskState.STARTING:
        words = f"{how}: {service.name} is not running, and is started by hand alone{by_hand(service)}"
        work.refuse(request, RefusedFor.NOT_ALLOWED, words, final=True)
    else:
        why = f" ({service.why})" if service.why else ""
        words = f"{how}: {service.name} is not running any more{why}, and is started again"
        work.refuse(request, RefusedFor.START_FAILED, words, retry_s=_back_s(work, service))


def _back_s(work: DeskWork, service: DeskService) -> float:
    """Return in how many seconds a service may be ready again, where that is known."""
    if service.state is DeskState.STARTING:
        return CLOSED_RETRY_S if service.eta_at is None else max(service.eta_at - work.now, _AGAIN_S)
    return max(service.not_before - work.now, 0.0) + (service.declared.load_s or _AGAIN_S)
