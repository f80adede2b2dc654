"""Several hosts that are open for as long as a command lasts: reached at once, and asked at once, also again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from copy import copy
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sparkctl.base.errors import EngineError, SparkctlError
from sparkctl.base.lazy import LazyModule
from sparkctl.operations.hosts.answers import AT_ONCE, HostAnswer, refuse_twice
from sparkctl.operations.hosts.connection import ONE_S, world_of
from sparkctl.operations.records import Records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.hosts.connection import ConnectedHost
    from sparkctl.recipes.hosts.declared import DeclaredHost
    from sparkctl.world.host import MachineFacts
    from sparkctl.world.opening import remote
else:
    remote = LazyModule("sparkctl.world.opening.remote")

T = TypeVar("T")


class OpenHost(NamedTuple):
    """A host that is open, or why it is not: of ``world`` and ``error`` one is None.

    ``facts`` are what it said of itself, and ``reached`` is the way there; ``here``: it is this machine.
    """

    name: str
    declared: DeclaredHost
    world: World | None
    error: SparkctlError | None = None
    facts: MachineFacts | None = None
    here: bool = False
    reached: ConnectedHost | None = None


class HostWay(NamedTuple):
    """A host that is connected: ``world`` is its own. ``reached`` is the way there, None for this machine.

    ``facts`` are what it said of itself; None of a simulated one.
    """

    name: str
    declared: DeclaredHost
    world: World
    reached: ConnectedHost | None = None
    facts: MachineFacts | None = None

    @property
    def over_fabric(self) -> str | None:
        """The destination with which another host's ssh reaches it over the fabric; None if none is declared."""
        fabric = self.declared.fabric
        return None if fabric is None or self.facts is None else f"{self.facts.user}@{fabric.address}"

    def close(self) -> None:
        """End the connection."""
        if self.reached is not None:
            self.reached.close()


def reached_at_once(
    world: World, declared: Mapping[str, DeclaredHost], *, within_s: float = ONE_S
) -> tuple[dict[str, HostWay], dict[str, SparkctlError]]:
    """Connect to hosts, all at once, and return those that answer, and why the others do not."""

    def one(name: str) -> HostWay | SparkctlError:
        host = declared[name]
        if host.here:
            return HostWay(name, host, world, None, None if world.simulated else remote.facts_here())
        try:
            way = world.reach(name, host.ssh, tell=lambda _: None, within_s=within_s)
        except SparkctlError as error:
            return error
        try:
            return HostWay(name, host, world_of(world, name, host, way), way, way.facts)
        except SparkctlError as error:
            way.close()
            return error

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(zip(declared, pool.map(one, declared), strict=True))
    found = {name: answer for name, answer in answers.items() if isinstance(answer, HostWay)}
    return found, {name: answer for name, answer in answers.items() if isinstance(answer, SparkctlError)}


@contextmanager
def connected(
    world: World, hosts: Mapping[str, DeclaredHost]
) -> Iterator[tuple[dict[str, HostWay], dict[str, SparkctlError]]]:
    """Connect hosts, all at once; yield those that answer by name, and why the others do not.

    Raises:
        InputError: two of the names are one machine.
    """
    ways, lost = reached_at_once(world, hosts)
    with ExitStack() as closing:
        for way in ways.values():
            closing.callback(way.close)
        refuse_twice([HostAnswer[None](name, None, facts=way.facts) for name, way in ways.items()])
        yield ways, lost


@contextmanager
def opened(world: World, hosts: Mapping[str, DeclaredHost]) -> Iterator[tuple[OpenHost, ...]]:
    """Reach all hosts at once, each within its own bound, and keep them open meanwhile; in the order of ``hosts``.

    Raises:
        InputError: two names are one machine.
    """
    with connected(world, hosts) as (ways, errors):

        def one(name: str) -> OpenHost:
            if name in errors:
                return OpenHost(name, hosts[name], None, errors[name])
            _, declared, there, reached, facts = ways[name]
            try:
                if reached is not None:
                    _ = there.ports  # opened once, for all that is made of this world
            except SparkctlError as error:
                return OpenHost(name, declared, None, error, reached=reached)
            return OpenHost(name, declared, there, None, facts, here=reached is None, reached=reached)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = tuple(pool.map(one, hosts))
        yield found


def with_records_of(world: World, host: str) -> World:
    """Return the same world with what this operator keeps of another host, which need not answer."""
    found = copy(world)
    found.records = Records(world.kept_of(world.operator.state / "hosts" / host))
    return found


def ask_all(hosts: Sequence[OpenHost], question: Callable[[OpenHost, World], T]) -> list[HostAnswer[T]]:
    """Ask all open hosts a question at once; for a host that is not open, the answer is the reason."""

    def one(host: OpenHost) -> HostAnswer[T]:
        if host.world is None:
            return HostAnswer(host.name, None, host.error or EngineError(f"{host.name} is not reached"))
        try:
            return HostAnswer(host.name, question(host, host.world), None, host.facts, here=host.here)
        except SparkctlError as error:
            return HostAnswer(host.name, None, error, host.facts, here=host.here)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, hosts))
