"""Several hosts connected at the same time, for as long as something is carried between them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import SparkctlError
from sparkctl.base.lazy import LazyModule
from sparkctl.operations.hosts.everywhere import AT_ONCE, HostAnswer, refuse_twice
from sparkctl.operations.hosts.reached import ONE_S, by_ssh, world_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sparkctl.operations.context import World
    from sparkctl.operations.hosts.reached import ConnectedHost, Reach
    from sparkctl.recipes.hosts.declared import DeclaredHost
    from sparkctl.world.host import MachineFacts
    from sparkctl.world.opening import remote
else:
    remote = LazyModule("sparkctl.world.opening.remote")


class There(NamedTuple):
    """A host that is connected: its name, what hosts.yaml says of it, what it says of itself, and its world."""

    name: str
    declared: DeclaredHost
    facts: MachineFacts
    world: World

    @property
    def over_fabric(self) -> str | None:
        """What another host's ssh takes to get to it over the fabric; None: its fabric is not declared."""
        fabric = self.declared.fabric
        return None if fabric is None else f"{self.facts.user}@{fabric.address}"


@contextmanager
def connected(
    world: World,
    hosts: Mapping[str, DeclaredHost],
    *,
    reach: Reach = by_ssh,
    here: Callable[[], MachineFacts] | None = None,
) -> Iterator[tuple[dict[str, There], dict[str, SparkctlError]]]:
    """Connect hosts, all at once; yield those that answer by name, and why the others do not.

    Raises:
        InputError: two of the names are one machine.
    """
    with ExitStack() as open_ones:
        found: dict[str, There] = {}
        lost: dict[str, SparkctlError] = {}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(partial(_reached, hosts, reach), hosts))
        for answer in answers:
            if answer is not None and not isinstance(answer, SparkctlError):
                open_ones.callback(answer.close)
        for name, answer in zip(hosts, answers, strict=True):
            try:
                found[name] = _there(world, name, hosts[name], answer, here)
            except SparkctlError as error:
                lost[name] = error
        refuse_twice([HostAnswer(name, None, None, one.facts) for name, one in found.items()])
        yield found, lost


def _reached(hosts: Mapping[str, DeclaredHost], reach: Reach, name: str) -> ConnectedHost | SparkctlError | None:
    """Return a host, None for this machine, or why it is not reached."""
    if hosts[name].here:
        return None
    try:
        return reach(name, hosts[name].ssh, tell=lambda _: None, within_s=ONE_S)
    except SparkctlError as error:
        return error


def _there(
    world: World,
    name: str,
    declared: DeclaredHost,
    answer: ConnectedHost | SparkctlError | None,
    here: Callable[[], MachineFacts] | None,
) -> There:
    if isinstance(answer, SparkctlError):
        raise answer
    if answer is None:
        return There(name, declared, (here or remote.facts_here)(), world)
    return There(name, declared, answer.facts, world_of(world, name, declared, answer))
