"""Groups by their names, as commands have them: their hosts are connected for the time of the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.operations.groups.hosts import connected
from sparkctl.operations.groups.ranks import as_ranks, named, port_of
from sparkctl.operations.groups.start import start_group
from sparkctl.operations.hosts.reached import by_ssh
from sparkctl.recipes.hosts.ranks import RankPlace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.hosts.reached import Reach
    from sparkctl.operations.memory.fitting import AskedSet
    from sparkctl.recipes.service import Service


def up(
    world: World, hosts: Sequence[str], asked: AskedSet, *, download: bool = False, reach: Reach = by_ssh
) -> list[Service]:
    """Start one service over hosts of hosts.yaml, by rank, the head first; return its ranks' services.

    Raises:
        InputError, DoesNotFitError, EngineError, NotReadyError, ModError, CheckError, WaitInterruptedError: as for
            ``start_group``.
    """
    with connected(world, hosts, reach=reach) as found:
        return start_group(world, found, asked, download=download)


def rendered(world: World, hosts: Sequence[str], asked: AskedSet, *, reach: Reach = by_ssh) -> list[Service]:
    """Return the services of a group by rank, as `up` would start them; nothing is started.

    Raises:
        InputError: a file or a name that cannot be used, or another number of hosts.
        EngineError: a host is not reached.
    """
    with connected(world, hosts, reach=reach) as found:
        named(found, asked)
        ranks = as_ranks(found)
        services: list[Service] = []
        port = port_of(found, asked.named or asked.names[0])
        for rank, host in enumerate(found):
            loader = host.world.loader(host.world.ports.models, host.world.known_images)
            loader.rank = RankPlace(rank, ranks, port)
            services += host.world.services(loader, asked.located(loader))
        for service in services:
            service.command()
        return services
