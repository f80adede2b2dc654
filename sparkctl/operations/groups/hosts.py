"""The hosts of a group, connected for as long as a command, or the watch, needs them."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.base.errors import EngineError
from sparkctl.base.lazy import LazyModule
from sparkctl.operations.hosts import connections
from sparkctl.operations.hosts.listed import hosts
from sparkctl.recipes.hosts.ranks import RDMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.hosts.connections import HostWay
    from sparkctl.recipes.hosts.declared import DeclaredHost
    from sparkctl.world.opening import remote
else:
    remote = LazyModule("sparkctl.world.opening.remote")


def has_rdma(host: HostWay) -> bool:
    """Return whether a host has an RDMA device, and the files by which a process reaches it."""
    there = host.facts is not None and bool(host.facts.rdma)
    return there and host.world.ports.models.file_problem(Path(RDMA)) is None


def doubt(host: HostWay) -> str:
    """Return why a host's ranks would use TCP where it has an RDMA device, "" where they do not."""
    if host.facts is None or not host.facts.rdma or has_rdma(host):
        return ""
    return f"{host.name} has {host.facts.rdma[0].name} and no {RDMA}: NCCL uses TCP there, without a word"


@contextmanager
def connected(world: World, names: Sequence[str]) -> Iterator[list[HostWay]]:
    """Connect to hosts by their names, all at once, and end the connections afterwards.

    Raises:
        InputError: there is no such host, or two names are one machine.
        EngineError: one of them is not reached; the message says which and why.
    """
    with connections.connected(world, declared_of(world, names)) as (found, lost):
        for error in lost.values():
            raise error
        yield [found[name] for name in names]


def declared_of(world: World, names: Sequence[str]) -> dict[str, DeclaredHost]:
    """Return hosts of the file by their names, in this order.

    Raises:
        InputError: there is no such host.
    """
    listed = hosts(world)
    return {name: listed.named(name) for name in names}


def refuse_unreached(hosts_by_rank: Sequence[HostWay], head: str) -> None:
    """Refuse a group whose head is not reached from each of its workers on the fabric.

    Raises:
        EngineError: which worker does not reach it, and what to look at.
    """
    first, *workers = hosts_by_rank
    for host in workers:
        reaches = remote.reaches_from_here(head) if host.reached is None else host.reached.reaches(head)
        if not reaches:
            message = f"{host.name} does not reach {first.name} at {head} on the fabric: the ranks would wait, and hang"
            hint = f"sparkctl hosts check {first.name} {host.name}; a firewall must let all ports of the fabric through"
            raise EngineError(message, hint=hint)
