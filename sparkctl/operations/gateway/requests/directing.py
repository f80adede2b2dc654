"""Which service a request is for: by its name, its route, or the response that it asks for. Values from values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.operations.gateway.requests.served import ServedStack, routed
from sparkctl.planning.box.declared import DeclaredRoute
from sparkctl.planning.gateway.body import COUNTS
from sparkctl.planning.gateway.desk.service import DeskState
from sparkctl.planning.gateway.routes import Chosen, RoutedService, RouteFacts, before, facts_of, why_no_wish
from sparkctl.world.door_ports import Refuse

if TYPE_CHECKING:
    from sparkctl.operations.gateway.callers import Caller
    from sparkctl.planning.gateway.desk.state import Desk
    from sparkctl.world.door_ports import Arrival

STORED: Final = "/v1/responses/"


class Direction(NamedTuple):
    """Where a request goes. ``route``, ``facts`` and ``chosen`` are of a name that stands for two services.

    ``keeps``: it is use of its service; what counts tokens, or asks for a stored response, starts nothing and keeps
    nothing running.
    """

    service: str
    may_start: bool = False
    keeps: bool = True
    route: DeclaredRoute | None = None
    facts: RouteFacts | None = None
    chosen: Chosen | None = None


def direct(arrival: Arrival, caller: Caller, stack: ServedStack, desk: Desk, stored: str | None) -> Direction | Refuse:
    """Return where a request goes; ``stored`` is the service of the response that it asks for, None for no such one."""
    if arrival.path.startswith(STORED):
        return _stored(desk, stored)
    only = next(iter(stack.names.services)) if len(stack.names.services) == 1 else ""
    name = arrival.model or only
    found = stack.names.find(name)
    refusal = None
    if not name:
        refusal = Refuse(400, "model_missing", "which model? ?model=NAME in the address says it", should_retry=False)
    elif found is None:
        refusal = Refuse(404, "model_not_found", stack.names.why_not(name, caller.may_use), should_retry=False)
    elif not caller.may_use(name):
        refusal = Refuse(403, "model_not_allowed", f"the key {caller.name} may not use {name}", should_retry=False)
    if refusal is not None or found is None:
        return refusal or Refuse(404, "model_not_found", name, should_retry=False)
    if isinstance(found, DeclaredRoute):
        return _routed(arrival, caller, stack, desk, found)
    return Direction(found.service, caller.may_start, keeps=arrival.path not in COUNTS)


def both(
    route: DeclaredRoute, stack: ServedStack, desk: Desk, *, may_start: bool
) -> tuple[RoutedService, RoutedService]:
    """Return the two services of a route, as it sees them."""
    first = routed(desk, stack, route.first, may_start=may_start)
    return first, routed(desk, stack, route.then, may_start=may_start)


def _routed(
    arrival: Arrival, caller: Caller, stack: ServedStack, desk: Desk, route: DeclaredRoute
) -> Direction | Refuse:
    facts = facts_of(arrival.path, arrival.document, arrival.wishes, stream=arrival.stream)
    wrong = why_no_wish(route, facts)
    if wrong:
        return Refuse(400, "no_such_route", wrong, should_retry=False)
    chosen = before(route, facts, *both(route, stack, desk, may_start=caller.may_start))
    may_start = caller.may_start and (route.start or chosen.service == route.first)
    return Direction(chosen.service, may_start, arrival.path not in COUNTS, route, facts, chosen)


def _stored(desk: Desk, service: str | None) -> Direction | Refuse:
    """Return the one server that has a stored response; where that is gone, so is the response."""
    one = None if service is None else desk.services.get(service)
    if service is None or one is None or one.state is not DeskState.READY:
        words = "there is no such response: it is kept by the server that gave it, while that runs"
        return Refuse(404, "response_not_found", words, should_retry=False)
    return Direction(service, keeps=False)
