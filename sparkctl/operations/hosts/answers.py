"""Several hosts asked at once: one that does not answer costs the others nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from sparkctl.base.errors import InputError, SparkctlError
from sparkctl.base.lazy import LazyModule
from sparkctl.operations.hosts.connection import ASKED_S, world_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.hosts.connection import ConnectedHost
    from sparkctl.recipes.hosts.declared import DeclaredHost
    from sparkctl.world.host import MachineFacts
    from sparkctl.world.opening import remote
else:
    remote = LazyModule("sparkctl.world.opening.remote")

T = TypeVar("T")
AT_ONCE: Final = 16
"""So many hosts are asked at a time: an ssh login takes 65 ms of CPU on a slow machine."""


class HostAnswer(NamedTuple, Generic[T]):
    """A host's answer, or why it did not answer: one of the two is None.

    ``facts`` are what it said of itself, None where it was not reached; ``skew_s`` is how far its clock is ahead;
    ``here``: it is this machine.
    """

    name: str
    answer: T | None
    error: SparkctlError | None = None
    facts: MachineFacts | None = None
    skew_s: float = 0.0
    here: bool = False


def asked(
    world: World,
    hosts: Mapping[str, DeclaredHost],
    question: Callable[[World, ConnectedHost | None], T],
) -> list[HostAnswer[T]]:
    """Ask all hosts at once, each within its own bound, and return the answers in the order of ``hosts``.

    ``question`` is given the host's world, and the way there, which is None for this machine.
    """

    def one(name: str) -> HostAnswer[T]:
        declared = hosts[name]
        if declared.here:
            return _answer(name, lambda: question(world, None), remote.facts_here(), 0.0)._replace(here=True)
        try:
            reached = world.reach(name, declared.ssh, tell=lambda _: None, within_s=ASKED_S)
        except SparkctlError as error:
            return HostAnswer(name, None, error)
        try:
            facts, skew_s = reached.facts, reached.skew_s
            return _answer(name, lambda: question(world_of(world, name, declared, reached), reached), facts, skew_s)
        except SparkctlError as error:
            return HostAnswer(name, None, error)
        finally:
            reached.close()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, hosts))


def _answer(name: str, answer: Callable[[], T], facts: MachineFacts, skew_s: float) -> HostAnswer[T]:
    try:
        return HostAnswer(name, answer(), None, facts, skew_s)
    except SparkctlError as error:
        return HostAnswer(name, None, error, facts, skew_s)


def refuse_twice(answers: Sequence[HostAnswer[T]]) -> None:
    """Refuse two names of one machine: what runs there would count twice.

    Disks that were cloned share the machine's id and the engine's: only one machine has them and the same start.

    Raises:
        InputError: with both names.
    """
    seen: dict[tuple[str, str], str] = {}
    for one in answers:
        if one.facts is None or not one.facts.machine_id:
            continue
        key = (one.facts.machine_id, one.facts.boot_id)
        if key in seen:
            message = f"{seen[key]} and {one.name} are the same machine"
            raise InputError(message, hint="name each machine once in hosts.yaml")
        seen[key] = one.name
