"""The applied stack as the gateway serves it: what each name means, where each server is, what it takes. Values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from sparkctl.planning.box.declared import StartMode
from sparkctl.planning.gateway.desk.request import WAIT_S
from sparkctl.planning.gateway.desk.service import DeskState
from sparkctl.planning.gateway.names import NameTable
from sparkctl.planning.gateway.routes import RoutedService, RouteState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.planning.gateway.desk.state import Desk

_COMES: Final = frozenset({DeskState.OFF, DeskState.DRAINING, DeskState.STOPPING})


class ServerAt(NamedTuple):
    """Where a service's server is, the key that it wants ("": none), and the file with its certificate ("": any).

    ``socket`` is the UNIX socket that leads to one on another host, "" where its address does.
    """

    url: str
    key: str = ""
    certificate: str = ""
    socket: str = ""

    def __repr__(self) -> str:
        """Say where, without the key."""
        return f"ServerAt({self.url})"


@dataclass(frozen=True, slots=True)
class ServedStack:
    """The served names and services. ``created`` is when the stack was applied, in seconds since the epoch.

    ``wait_s`` is how long a request waits at most, and ``comments`` whether a stream is told what for.
    """

    stack: str
    created: int
    names: NameTable = field(default_factory=NameTable)
    servers: Mapping[str, ServerAt] = field(default_factory=dict)
    wait_s: float = WAIT_S
    comments: bool = True


def routed(desk: Desk, stack: ServedStack, name: str, *, may_start: bool) -> RoutedService:
    """Return a service as a route sees it; ``may_start``: a request would start it where it can be started.

    Of equal ones on several hosts one that is ready is seen, with the fewest that wait for it.
    """
    named, service = stack.names.services.get(name), desk.services.get(name)
    context = None if named is None else named.context
    those = stack.names.replicas.get(name, ())
    ready = [one for one in those if one in desk.services and desk.services[one].state is DeskState.READY]
    if ready:
        return RoutedService(RouteState.READY, min(map(desk.waiting, ready)), context)
    if service is None:
        return RoutedService(RouteState.DOWN, 0, context)
    by_request = service.declared.start is not StartMode.MANUAL
    state = RouteState.DOWN
    if service.state is DeskState.READY:
        state = RouteState.READY
    elif service.state is DeskState.STARTING or (service.state in _COMES and may_start and by_request):
        state = RouteState.COMING
    return RoutedService(state, desk.waiting(name), context)
