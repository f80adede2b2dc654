"""The services of a group, one a rank: each as its own host has it, and held against the others'."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sparkctl.base.errors import InputError
from sparkctl.operations import deployed
from sparkctl.operations.groups.hosts import has_rdma
from sparkctl.operations.services.startable import startable
from sparkctl.recipes.hosts.ranks import FIRST_PORT, RankPlace, on_fabric, refuse_other_count
from sparkctl.world import labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.hosts.connections import HostWay
    from sparkctl.operations.memory.asked_set import AskedSet
    from sparkctl.recipes.hosts.ranks import RankHost
    from sparkctl.recipes.reading import Loader
    from sparkctl.recipes.service import Service

_PORTS: Final = 100
"""So many ports from the first one are tried for a group to meet at: a choice."""


def named(hosts: Sequence[HostWay], asked: AskedSet) -> str:
    """Return the name of the one service that is asked for, whose recipe has as many nodes as there are hosts.

    Raises:
        InputError: it is none, or several, or needs another number of hosts.
    """
    world = hosts[0].world
    located = asked.located(world.loader(world.ports.models, world.known_images))
    if len(located) != 1:
        names = ", ".join(one.member.service for one in located)
        raise InputError(f"--hosts starts one group, found {len(located)} services: {names}")
    name = located[0].member.service
    refuse_other_count(name, located[0].loaded.recipe, [host.name for host in hosts])
    return name


def as_ranks(hosts: Sequence[HostWay]) -> tuple[RankHost, ...]:
    """Return the hosts as their ranks see them.

    Raises:
        InputError: one of them has no fabric declared.
    """
    return on_fabric({host.name: host.declared for host in hosts}, {host.name: has_rdma(host) for host in hosts})


def services_of(hosts: Sequence[HostWay], asked: AskedSet, port: int, *, download: bool = False) -> list[Service]:
    """Return the services of a group by rank, which can be started: their models are there, their secrets have values.

    Raises:
        InputError: as for ``startable``, with the name of the host.
        EngineError: an image that says which vLLM it has cannot be had.
    """
    ranks = as_ranks(hosts)
    found: list[Service] = []
    for rank, host in enumerate(hosts):
        world = host.world
        loader = world.loader(world.ports.models, world.images)
        loader.rank = RankPlace(rank, ranks, port)
        try:
            (service,) = startable(world, loader, asked, download=download)
        except InputError as error:
            hint = _way_there(asked, loader, host.name, error.hint)
            raise InputError(f"{host.name}: {error.message}", hint=hint) from None
        found.append(service)
    return found


def rendered_of(hosts: Sequence[HostWay], asked: AskedSet, port: int) -> list[Service]:
    """Return the services of a group by rank, as they would be started; nothing is fetched or made for it.

    Raises:
        InputError: a file that cannot be used, or a host without a fabric.
    """
    ranks = as_ranks(hosts)
    services: list[Service] = []
    for rank, host in enumerate(hosts):
        loader = host.world.loader(host.world.ports.models, host.world.known_images)
        loader.rank = RankPlace(rank, ranks, port)
        services += host.world.services(loader, asked.located(loader))
    return services


def _way_there(asked: AskedSet, loader: Loader, host: str, hint: str | None) -> str | None:
    """Return how what a host lacks comes there: where that is its model, other hosts may have it."""
    with suppress(InputError):
        if any(one.missing for one in asked.located(loader)):
            here = f"sparkctl hosts distribute {asked.names[0]} brings it from a host that has it"
            return f"{here}; on {host} itself: {hint}" if hint else here
    return hint


def port_of(hosts: Sequence[HostWay], name: str) -> int:
    """Return where the ranks of a group meet on its head: where those that run do, else the first port that is free.

    Raises:
        InputError: all of them are taken.
        EngineError: an engine does not answer.
    """
    head = as_ranks(hosts)[0].fabric.address
    taken: set[int] = set()
    for host in hosts:
        for service, container in deployed.services(host.world.engine):
            group = labels.read(container.labels).group
            if group is not None and service == name and group.hosts == tuple(one.name for one in hosts):
                return group.port
            if group is not None and group.head == head:
                taken.add(group.port)
    on_head = hosts[0].world.host
    for port in range(FIRST_PORT, FIRST_PORT + _PORTS):
        if port not in taken and not on_head.port_taken(head, port):
            return port
    raise InputError(f"{hosts[0].name} has no free port from {FIRST_PORT} on at {head}, where the ranks would meet")
