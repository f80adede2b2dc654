"""Several hosts that are open for as long as a command lasts: reached at once, and asked at once, also again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from copy import copy
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sparkctl.base.errors import EngineError, SparkctlError
from sparkctl.base.lazy import LazyModule
from sparkctl.operations.hosts.everywhere import AT_ONCE, HostAnswer, refuse_twice
from sparkctl.operations.hosts.reached import ONE_S, world_of
from sparkctl.operations.records import Records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.hosts.reached import ConnectedHost
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


@contextmanager
def opened(world: World, hosts: Mapping[str, DeclaredHost]) -> Iterator[tuple[OpenHost, ...]]:
    """Reach all hosts at once, each within its own bound, and keep them open meanwhile; in the order of ``hosts``.

    Raises:
        InputError: two names are one machine.
    """
    with ExitStack() as closing:

        def one(name: str) -> OpenHost:
            declared = hosts[name]
            if declared.here:
                facts = remote.facts_here() if not world.simulated else None
                return OpenHost(name, declared, world, None, facts, here=True)
            reached: ConnectedHost | None = None
            try:
                reached = world.reach(name, declared.ssh, tell=lambda _: None, within_s=ONE_S)
                there, facts = world_of(world, name, declared, reached), reached.facts
                _ = there.ports  # opened once, for all that is made of this world
            except SparkctlError as error:
                return OpenHost(name, declared, None, error, reached=reached)
            return OpenHost(name, declared, there, None, facts, reached=reached)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(one, hosts))
        for host in found:
            if host.reached is not None:
                closing.callback(host.reached.close)
        refuse_twice([HostAnswer(host.name, None, host.error, host.facts) for host in found])
        yield tuple(found)


def with_records_of(world: World, host: str) -> World:
    """Return the same world with what this operator keeps of another host, which need not answer."""
    found = copy(world)
    found.records = Records(world.kept_of(world.operator.state / "hosts" / host))
    return found


def ask_all(hosts: Sequence[OpenHost], question: Callable[[OpenHost, World], T]) -> list[HostAnswer[T]]:
    """Ask all open hosts a question at once; of one that is not open the answer is why."""

    def one(host: OpenHost) -> HostAnswer[T]:
        if host.world is None:
            return HostAnswer(host.name, None, host.error or EngineError(f"{host.name} is not reached"))
        try:
            return HostAnswer(host.name, question(host, host.world), None, host.facts, here=host.here)
        except SparkctlError as error:
            return HostAnswer(host.name, None, error, host.facts, here=host.here)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, hosts))
