"""A group started again as it was made: the same containers on all hosts, stopped and started as one."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.base.errors import DoesNotFitError, EngineError, InputError
from sparkctl.operations import deployed
from sparkctl.operations.deployed_service import service_of
from sparkctl.operations.groups import kept, seen
from sparkctl.operations.groups.hands import all_locked, hands_of
from sparkctl.operations.groups.proof.group_proof import StartedRank
from sparkctl.operations.groups.proof.wait import proved
from sparkctl.operations.guard.live_state import refuse_closed
from sparkctl.operations.hosts.told import said_of_host
from sparkctl.recipes.service import reached_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.groups.hands import RankHands
    from sparkctl.operations.hosts.connections import HostWay
    from sparkctl.recipes.service import Service


def start_again(
    world: World, hosts: Sequence[HostWay], name: str, *, grace_s: float, keep: bool = False
) -> list[Service]:
    """Stop the ranks that run, start all containers again, the workers first, and prove the group.

    Raises:
        InputError: a rank has no container, or its recipe is gone.
        DoesNotFitError: a host's guard has closed admission, before anything is stopped; or the memory that a rank
            gave back is not free any more, and all of them stay stopped.
        EngineError, NotReadyError, ModError, CheckError, WaitInterruptedError: as for ``start_group``; the containers
            of a group that does not become ready are removed, unless ``keep``.
    """
    ranks = [hands_of(host, _service(host, name)) for host in hosts]
    with ExitStack() as work:
        with all_locked(ranks, work):
            for one in ranks:
                _refuse_closed(one)
            seen.stop(hosts, name, grace_s=grace_s)
            for one in ranks:
                _refuse_full(one)
            for one in (*ranks[1:], ranks[0]):
                with said_of_host(one.host.name):
                    one.host.world.engine.start(_container(one.host, name))
        started = [StartedRank(one.host, one.service, one.starter, _container(one.host, name)) for one in ranks]
        proved(world, ranks, started, keep=keep)
    group = kept.kept(world).get(name) or kept.KeptGroup(name, tuple(host.name for host in hosts))
    kept.keep(world, replace(group, ready=True))
    world.report.say(f"{name}: ready at {reached_at(ranks[0].service.recipe)} on {hosts[0].name}")
    return [one.service for one in ranks]


def _service(host: HostWay, name: str) -> Service:
    container = deployed.find(host.world.engine, name)
    if container is None:
        raise InputError(f"{name} has no rank on {host.name}", hint=f"sparkctl down {name}, and then up")
    return service_of(host.world, name, container, host.world.known_images)


def _container(host: HostWay, name: str) -> str:
    container = deployed.find(host.world.engine, name)
    if container is None:
        raise EngineError(f"{name}: its rank on {host.name} was removed meanwhile")
    return container.id


def _refuse_full(one: RankHands) -> None:
    """Refuse to start a rank for whose memory there is no room any more, or whose host's guard has closed admission."""
    world, name = one.host.world, one.service.name
    _refuse_closed(one)
    container = deployed.find(world.engine, name)
    why = "" if container is None else one.planner.now.no_room(container)
    if why:
        message = f"{name} is stopped on all its hosts, and is not started again: {one.host.name}: {why}"
        raise DoesNotFitError(message, hint=f"free memory there, and then: sparkctl restart {name}")


def _refuse_closed(one: RankHands) -> None:
    with said_of_host(one.host.name):
        refuse_closed(one.host.world.ports, one.host.world.operator.run)
