"""On which host a request is answered, where several have the same service. It remembers where beginnings were last."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from sparkctl.planning.gateway.desk.service import DeskState
from sparkctl.planning.gateway.places.balance import ReadyPlace, chosen, prefix

if TYPE_CHECKING:
    from collections.abc import Collection

    from sparkctl.operations.gateway.requests.served import ServedStack
    from sparkctl.planning.gateway.desk.state import Desk
    from sparkctl.world.door_ports import Arrival

MOST: Final = 10_000
"""So many beginnings are remembered, a choice: some 2 MB, and more than a few servers' caches hold."""
_GOING: Final = (DeskState.STARTING, DeskState.DRAINING, DeskState.STOPPING)


class Placing:
    """Chooses places."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, str] = OrderedDict()

    def place(self, stack: ServedStack, desk: Desk, service: str, arrival: Arrival) -> str:
        """Return the service at the desk that gets a request; where none of several is ready, the one to wait for.

        That is the one of this host, which is started where it may be, else one that starts, else the first.
        """
        those = stack.names.replicas.get(service)
        if those is None:
            return service
        found = self.ready(stack, desk, service, arrival)
        if found:
            return found
        there = [one for one in those if one in desk.services]
        if service in there:
            return service
        return next((one for one in there if desk.services[one].state in _GOING), there[0] if there else service)

    def ready(self, stack: ServedStack, desk: Desk, service: str, arrival: Arrival, tried: Collection[str] = ()) -> str:
        """Return the ready one that gets a request, "" where there is none but those that were ``tried``."""
        those = [one for one in stack.names.replicas.get(service, ()) if one not in tried]
        places = [_place(desk, one) for one in those if _is_ready(desk, one)]
        if not places:
            return ""
        begin = prefix(arrival.document)
        found = chosen(places, self._known.get(begin, ""), arrival.id)
        if begin:
            self._known[begin] = found
            self._known.move_to_end(begin)
            if len(self._known) > MOST:
                self._known.popitem(last=False)
        return found


def _is_ready(desk: Desk, service: str) -> bool:
    one = desk.services.get(service)
    return one is not None and one.state is DeskState.READY


def _place(desk: Desk, service: str) -> ReadyPlace:
    one = desk.services[service]
    # About a server here it is only known that it answers somebody else, but not how many.
    asked = desk.serving(service) + desk.waiting(service) + max(one.others, int(one.busy and not one.far))
    return ReadyPlace(service, asked, one.declared.limit)
