"""A rank's service, with what plans and starts on its host; and the locks of all hosts of a group."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import EngineError
from sparkctl.operations.planner import planner
from sparkctl.operations.services.starts import locked
from sparkctl.operations.start.aside import Aside
from sparkctl.operations.start.start import Starter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.operations.hosts.connections import HostWay
    from sparkctl.operations.planner import Planner
    from sparkctl.recipes.service import Service


class RankHands(NamedTuple):
    """A rank: its host, its service, and what plans and starts on that host."""

    host: HostWay
    service: Service
    planner: Planner
    starter: Starter
    aside: Aside


def hands_of(host: HostWay, service: Service) -> RankHands:
    """Return what plans and starts a rank on its host."""
    world = host.world
    plans = planner(world)
    values = {service.name: world.secret_values(service)[0]}
    aside = Aside(world.ports, world.report, plans.now.worked_on, plans.now.ready, plans.now.no_room)
    starter = Starter(world.ports, world.report, values, plans.history, world.operator.state / "logs")
    return RankHands(host, service, plans, starter, aside)


@contextmanager
def all_locked(ranks: Sequence[RankHands], work: ExitStack | None) -> Iterator[None]:
    """Hold the locks of all hosts, taken in the order of their names: two commands never wait for each other.

    Raises:
        EngineError: another command works on the group.
    """
    with ExitStack() as locks:
        for one in sorted(ranks, key=lambda rank: rank.host.name):
            ports = one.host.world.ports
            locks.enter_context(locked(ports, one.host.world.report))
            if work is not None and not work.enter_context(
                ports.locks.work_on(ports.engine.info().id, one.service.name)
            ):
                name = one.service.name
                message = f"{name}: another command works on its rank on {one.host.name}"
                raise EngineError(message, hint=f"sparkctl down {name} ends the group")
        yield
