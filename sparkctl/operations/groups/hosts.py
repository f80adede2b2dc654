"""The hosts of a group, connected for as long as a command, or the watch, needs them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import EngineError, SparkctlError
from sparkctl.base.lazy import LazyModule
from sparkctl.operations.hosts.everywhere import AT_ONCE, HostAnswer, refuse_twice
from sparkctl.operations.hosts.listed import hosts
from sparkctl.operations.hosts.reached import ONE_S, world_of
from sparkctl.recipes.hosts.ranks import RDMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.hosts.reached import ConnectedHost
    from sparkctl.recipes.hosts.declared import DeclaredHost
    from sparkctl.world.host import MachineFacts
    from sparkctl.world.opening import remote
else:
    remote = LazyModule("sparkctl.world.opening.remote")


class GroupHost(NamedTuple):
    """A host that is connected: ``world`` is its own. ``reached`` is the way there, None for this machine."""

    name: str
    declared: DeclaredHost
    world: World
    reached: ConnectedHost | None = None
    facts: MachineFacts | None = None

    @property
    def rdma(self) -> bool:
        """Whether it has an RDMA device, and the files by which a process reaches it."""
        there = self.facts is not None and bool(self.facts.rdma)
        return there and self.world.ports.models.file_problem(Path(RDMA)) is None

    @property
    def doubt(self) -> str:
        """Why its ranks would use TCP where it has an RDMA device, "" where they do not."""
        if self.facts is None or not self.facts.rdma or self.rdma:
            return ""
        return f"{self.name} has {self.facts.rdma[0].name} and no {RDMA}: NCCL uses TCP there, without a word"

    def close(self) -> None:
        """End the connection."""
        if self.reached is not None:
            self.reached.close()


@contextmanager
def connected(world: World, names: Sequence[str]) -> Iterator[list[GroupHost]]:
    """Connect to hosts by their names, all at once, and end the connections afterwards.

    Raises:
        InputError: there is no such host, or two names are one machine.
        EngineError: one of them is not reached; the message says which and why.
    """
    found, errors = reached_of(world, declared_of(world, names))
    try:
        for error in errors.values():
            raise error
        refuse_twice([HostAnswer[None](name, None, facts=host.facts) for name, host in found.items()])
        yield [found[name] for name in names]
    finally:
        for host in found.values():
            host.close()


@contextmanager
def said_of(host: str) -> Iterator[None]:
    """Let what fails on a host say which host it is: an engine's own message does not know its name."""
    try:
        yield
    except SparkctlError as error:
        if not error.message.startswith(f"{host}:"):
            error.message = f"{host}: {error.message}"
            error.args = (error.message,)
        raise


def declared_of(world: World, names: Sequence[str]) -> dict[str, DeclaredHost]:
    """Return hosts of the file by their names, in this order.

    Raises:
        InputError: there is no such host.
    """
    listed = hosts(world)
    return {name: listed.named(name) for name in names}


def reached_of(
    world: World, declared: Mapping[str, DeclaredHost], *, within_s: float = ONE_S
) -> tuple[dict[str, GroupHost], dict[str, SparkctlError]]:
    """Connect to hosts, all at once, and return those that answer, and why the others do not."""

    def one(name: str) -> GroupHost | SparkctlError:
        host = declared[name]
        if host.here:
            return GroupHost(name, host, world, None, remote.facts_here())
        try:
            way = world.reach(name, host.ssh, tell=lambda _: None, within_s=within_s)
        except SparkctlError as error:
            return error
        try:
            return GroupHost(name, host, world_of(world, name, host, way), way, way.facts)
        except SparkctlError as error:
            way.close()
            return error

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(zip(declared, pool.map(one, declared), strict=True))
    found = {name: answer for name, answer in answers.items() if isinstance(answer, GroupHost)}
    return found, {name: answer for name, answer in answers.items() if isinstance(answer, SparkctlError)}


def refuse_unreached(hosts_by_rank: Sequence[GroupHost], head: str) -> None:
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
