"""The images and models of recipes brought to hosts, and proof that these have the same afterwards.

What ends in the midst goes on with the next command: a file that came whole and was checked is not carried again, and
one that was under way goes on where it ends. Mods are not carried: `up` stages them on the host where it starts.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from sparkctl.base.errors import CheckError, EngineError, InputError, SparkctlError
from sparkctl.operations.hosts import listed
from sparkctl.operations.hosts.answers import AT_ONCE
from sparkctl.operations.hosts.connections import connected
from sparkctl.operations.hosts.distribute.at_once import at_once
from sparkctl.operations.hosts.distribute.one_host import Distributed, LookedHosts, OneHost
from sparkctl.operations.hosts.held import holds, named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.hosts.connections import HostWay
    from sparkctl.operations.hosts.distribute.one_host import Brought, WantedCopies
    from sparkctl.operations.hosts.same import HostHolds
    from sparkctl.operations.stack.lock.behind import Names
    from sparkctl.recipes.hosts.declared import DeclaredHost
    from sparkctl.world.ports import Report

T = TypeVar("T")
WAIT_S: Final = 24 * 3600.0
"""For so long a copy waits for another one to the same host: a choice, above what any model takes."""


def distribute(
    world: World,
    asked: WantedCopies,
    *,
    dry_run: bool = False,
) -> Distributed:
    """Bring images and models of recipes to hosts; with ``dry_run`` say what would come.

    A host that fails costs the others nothing. Its error is returned: an InputError where a name is none, no host has a
    model, or hosts have different ones and none was named; an EngineError where it is not reached, an engine, a disk or
    a network refuses, or there is no room; a CheckError where it has not what the source has afterwards.

    Raises:
        InputError: there is no such host, or there are none.
        EngineError: the host that is to give is not reached.
    """
    hosts, targets = _wanted(world, asked)
    with connected(world, hosts) as (there, lost), ExitStack() as locked:
        for name in sorted(set(targets) & there.keys()) if not dry_run else ():
            _attempted(lost, name, partial(_lock, locked, world, there[name]))
        looked = _looked({name: one for name, one in there.items() if name not in lost}, asked, lost)
        if asked.source in lost:
            raise lost[asked.source]
        failed = {name: lost[name] for name in targets if name in lost}
        for name in lost.keys() - failed.keys():
            world.report.warn(lost[name].message)

        def serve(name: str, report: Report) -> list[Brought]:
            one = OneHost(report, looked, asked, targets, name)
            return _attempted(failed, name, partial(one.bring, dry_run=dry_run)) or []

        found = at_once(world.report, {name: partial(serve, name) for name in targets if name not in failed})
    error = _joined([failed[name] for name in targets if name in failed])
    return Distributed(tuple(one for brought in found.values() for one in brought), error)


def _attempted(failed: dict[str, SparkctlError], name: str, act: Callable[[], T]) -> T | None:
    """Return what an act for a host gives; what it raises is kept under the host's name."""
    try:
        return act()
    except SparkctlError as error:
        failed[name] = error
        return None


def _wanted(world: World, asked: WantedCopies) -> tuple[Mapping[str, DeclaredHost], list[str]]:
    """Return the hosts to connect, in the order of the file, and of them the targets."""
    known = listed.hosts(world)
    for name in (*asked.to, *filter(None, [asked.source])):
        known.named(name)
    known.some()
    if asked.source is not None and asked.source in asked.to:
        raise InputError(f"{asked.source} is to give to itself", hint="leave it out of --to")
    mentioned = dict.fromkeys((*known.hosts, *asked.to, *filter(None, [asked.source])))
    only = {asked.source, *asked.to} if asked.source is not None and asked.to else set(mentioned)
    hosts = {name: known.named(name) for name in mentioned if name in only}
    targets = [name for name in hosts if (name in asked.to if asked.to else name != asked.source)]
    if not targets:
        raise InputError("there is no other host to bring anything to", hint="sparkctl hosts add NAME SSH")
    return hosts, targets


def _lock(locked: ExitStack, world: World, target: HostWay) -> None:
    """Take the lock of copies to a host: two commands that bring it something come one after the other."""
    identity = target.world.engine.info().id

    def waiting(who: str) -> None:
        world.report.say(f"{target.name}: waiting for {who}, who copies to it")

    held = target.world.ports.locks.hold(f"copies {identity}", waiting=waiting, longest_s=WAIT_S)
    locked.enter_context(held)


def _looked(there: Mapping[str, HostWay], asked: WantedCopies, lost: dict[str, SparkctlError]) -> LookedHosts:
    """Ask all hosts at once what they have; why one does not say it is put with those that are ``lost``.

    Raises:
        InputError: none of them could make anything of the names.
    """

    def one(name: str) -> tuple[list[Names], list[HostHolds]] | None:
        found = named(there[name].world, asked.names, asked.overrides)
        return found, [holds(there[name].world, name, each) for each in found]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda name: _attempted(lost, name, partial(one, name)), there))
    found = {name: answer for name, answer in zip(there, answers, strict=True) if answer is not None}
    wrong = next((error for error in lost.values() if isinstance(error, InputError)), None)
    if not found and wrong is not None:
        raise wrong
    return LookedHosts(
        {name: there[name] for name in found},
        {name: answer[0] for name, answer in found.items()},
        {name: answer[1] for name, answer in found.items()},
    )


def _joined(errors: Sequence[SparkctlError]) -> SparkctlError | None:
    """Return one error for all hosts that failed: of the kind of the first; None where none did."""
    if len(errors) <= 1:
        return next(iter(errors), None)
    messages = dict.fromkeys(error.message for error in errors)
    hints = dict.fromkeys(error.hint for error in errors if error.hint)
    kind = next((kind for kind in (InputError, CheckError) if isinstance(errors[0], kind)), EngineError)
    return kind("\n".join(messages), hint="; ".join(hints) or None)
