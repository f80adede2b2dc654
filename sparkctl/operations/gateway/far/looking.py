"""One look at another host: its services by their labels, what each does, and how a request gets to its server."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from sparkctl.base.errors import EngineError
from sparkctl.operations import deployed, differences
from sparkctl.operations.deployed import Deployed
from sparkctl.operations.gateway.named import count
from sparkctl.operations.gateway.requests.served import ServerAt
from sparkctl.operations.status import liveness
from sparkctl.operations.status.leftovers import is_set_aside
from sparkctl.operations.status.liveness import Life
from sparkctl.planning.gateway.desk.events import SeenAtDesk
from sparkctl.planning.gateway.desk.service import DeskState
from sparkctl.planning.gateway.places.elsewhere import FarNamed
from sparkctl.world import labels

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.operations.context import World
    from sparkctl.operations.hosts.connection import ConnectedHost
    from sparkctl.operations.page.seen.server_looks import ServerLooks
    from sparkctl.recipes.hosts.declared import DeclaredHost
    from sparkctl.world.engine import Container
    from sparkctl.world.labels import ServiceLabels

MOST: Final = 200
"""The most services of one host, a choice: no Spark has room for a tenth of them."""
NO_TLS: Final = "its server speaks TLS, and is asked by the gateway of its own host alone"
_HTTP_PORT: Final = 80
_EVERY: Final = ("0.0.0.0", "::", "every address")  # noqa: S104  (compared)
_STATES: Final = {
    Life.STARTING: DeskState.STARTING,
    Life.READY: DeskState.READY,
    Life.BUSY: DeskState.READY,
    Life.UNKNOWN: DeskState.READY,
    Life.STUCK: DeskState.STUCK,
    Life.FAILING: DeskState.STUCK,
    Life.DEAD: DeskState.OFF,
}


class FarService(NamedTuple):
    """A service of another host at one moment. ``server`` is None where no way leads to it, which ``seen`` says."""

    named: FarNamed
    seen: SeenAtDesk
    server: ServerAt | None


class Looking(NamedTuple):
    """A host that is looked at: its name, what is declared of it, the way there, its world, and earlier looks.

    ``alive`` is called before each of its servers is asked, which may take seconds.
    """

    name: str
    declared: DeclaredHost
    reached: ConnectedHost
    there: World
    looks: ServerLooks
    alive: Callable[[], None]


def services_there(host: Looking) -> tuple[FarService, ...]:
    """Return the services of a host that is connected.

    Raises:
        EngineError: its engine does not answer.
    """
    found = []
    for name, container in deployed.services(host.there.engine)[:MOST]:
        host.alive()
        record = labels.read(container.labels)
        if not is_set_aside(container) and record.url is not None:  # a worker of a group has none: its head answers
            found.append(_service(host, Deployed(name, record, container, None)))
    host.looks.keep([one.named.name for one in found])
    return tuple(found)


def _service(host: Looking, one: Deployed) -> FarService:
    record, flags = one.record, differences.flags(one.container.command)
    context, sequences = count(flags.get("--max-model-len")), count(flags.get("--max-num-seqs"))
    named = FarNamed(host.name, one.name, record.recipe or "", record.served_names or (), context, sequences)
    if (record.url or "").startswith("https:"):
        return FarService(named, SeenAtDesk(named.service, DeskState.OFF, NO_TLS), None)
    seen = host.looks.look(one)
    life, words = liveness.judge(seen.since, seen.last)
    metrics = seen.last.metrics
    requests = 0 if metrics is None else int((metrics.running or 0) + (metrics.waiting or 0))
    told = SeenAtDesk(named.service, _STATES[life], words, busy=life is Life.BUSY, requests=requests)
    if told.state is DeskState.OFF:
        return FarService(named, told, None)
    try:
        server = way(host.declared, host.reached, record, one.container)
    except EngineError as error:
        return FarService(named, told._replace(state=DeskState.OFF, why=error.message), None)
    key = host.there.key_of(one.container) or ""
    return FarService(named, told, server._replace(key=key))


def way(declared: DeclaredHost, reached: ConnectedHost, record: ServiceLabels, container: Container) -> ServerAt:
    """Return how a request gets to a server of another host, without its key.

    One that is open to the network is asked at the host's ``address``, any other one through ssh.

    Raises:
        EngineError: ssh forwards nothing.
    """
    url = record.url or ""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _HTTP_PORT
    to = declared.address
    if to is not None and (host == to or _is_open(container, port)):
        return ServerAt(f"http://{f'[{to}]' if _is_v6(to) else to}:{port}")
    return ServerAt(url, socket=str(reached.forwarded(host, port)))


def _is_open(container: Container, port: int) -> bool:
    """Return whether a server answers the network at a port: by its own flag, or where docker publishes it."""
    settings = container.settings or {}
    if settings.get("--network") == "host":
        return differences.flags(container.command).get("--host", "") in _EVERY
    published = [place for name, place in settings.items() if name.startswith("--publish")]
    return any(
        place in {f"{one}:{port}" for one in (*_EVERY, "[::]")} for each in published for place in each.split(", ")
    )


def _is_v6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6  # noqa: PLR2004  (IPv6)
    except ValueError:
        return False
