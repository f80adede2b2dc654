"""Services by their names, wherever they run: on this host, or over several hosts as one (groups).

The command line and the Python API call these. What is done to a group is done to all its ranks, so that nobody leaves
half of one by its name; the world of one host among them (``--host``) knows its own containers alone.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import InputError
from sparkctl.operations.groups import by_name
from sparkctl.operations.groups import logs as group_logs
from sparkctl.operations.groups.head import at_head, where_it_answers
from sparkctl.operations.services import running
from sparkctl.operations.services import up as starting
from sparkctl.operations.services.running import Stopped
from sparkctl.operations.status import services

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.groups.kept import KeptGroup
    from sparkctl.operations.memory.asked_set import AskedSet
    from sparkctl.operations.status.services import ServiceStatus
    from sparkctl.recipes.service import Service


class ServiceLog(NamedTuple):
    """The log of a service; the engine is asked for it when the first line is taken."""

    name: str
    lines: Iterator[str]


# --- started ---------------------------------------------------------------------------------------------------------


def up(
    world: World,
    asked: AskedSet,
    hosts: Sequence[str] = (),
    *,
    fit: bool = False,
    drop_caches: bool = False,
    download: bool = False,
    one_by_one: bool = False,
) -> list[Service]:
    """Start a set on this host, or one service over ``hosts`` by rank; return the services, of a group its ranks'.

    Without ``hosts`` the name of a group that this operator has started means the hosts that it was started on.

    Raises:
        InputError: what is for one host is asked of a group; the rest as for ``services.up`` and ``start_group``.
        SetDoesNotFitError, DoesNotFitError, EngineError, ModError, NotReadyError, CheckError, WaitInterruptedError: as
            for them.
    """
    hosts = hosts or by_name.hosts_of(world, (asked.named or asked.names[0]) if len(asked.names) == 1 else "")
    if not hosts:
        return starting.up(world, asked, fit=fit, drop_caches=drop_caches, download=download, one_by_one=one_by_one)
    for switch, given in {"fit": fit, "drop-caches": drop_caches, "one-by-one": one_by_one}.items():
        if given:
            message = f"--{switch} is for one host, and this service runs on {', '.join(hosts)}"
            raise InputError(message, hint="leave it out for a service over several hosts")
    world.about(hosts)
    return by_name.up(world, hosts, asked, download=download)


# --- stopped, and started again --------------------------------------------------------------------------------------


def down(world: World, names: Sequence[str] = (), *, everything: bool = False) -> Stopped:
    """Stop and remove services by their names, a group on all its hosts; ``everything`` is all of this engine alone.

    Raises:
        InputError: as for ``running.down``, and a host of a group is not declared any more.
        EngineError: an engine does not answer or refuses, or a host is not reached: a rank there may still run, and all
            others of its group are ended.
    """
    found = by_name.parted(world, names)
    here = bool(found.others) or not found.groups or everything
    if here and found.groups:  # what is no name is refused before any rank is stopped
        running.stoppable(world, found.others or names, everything=everything)
    for group in found.groups.values():
        world.about(group.hosts)
        by_name.down(world, group)
    world.about(())
    stopped = running.down(world, found.others, everything=everything) if here else Stopped((), ())
    return stopped._replace(removed=(*found.groups, *stopped.removed))


def restart(world: World, name: str) -> Service:
    """Stop a service and start its containers again, as they are; prove it, and return it; of a group its head.

    Raises:
        InputError: no service of this name is deployed, its recipe is gone, or it is half a group.
        DoesNotFitError: the memory that it gave back is not free any more; it stays stopped.
        EngineError, ModError, NotReadyError, CheckError, WaitInterruptedError: as for ``up``; its container stays, and
            those of a group are ended.
    """
    group = by_name.group_of(world, name)
    return running.restart(world, name) if group is None else _group_again(world, group)


def restart_all(world: World, names: Sequence[str] = (), *, everything: bool = False) -> list[Service]:
    """Restart services one after another, those of stacks among them; ``everything`` is all of this engine alone.

    Raises:
        InputError, DoesNotFitError, EngineError, ModError, NotReadyError, CheckError, WaitInterruptedError: as for
            ``restart``; those after it are left as they are.
    """
    found = by_name.parted(world, names)
    here = bool(found.others) or everything
    chosen = running.chosen(world, found.others, everything=everything) if here else []
    done = [_group_again(world, group) for group in found.groups.values()]
    world.about(())
    return [*done, *(running.restart(world, name) for name in chosen)]


def _group_again(world: World, group: KeptGroup) -> Service:
    world.about(group.hosts)
    return by_name.restart(world, group)[0]


# --- read ------------------------------------------------------------------------------------------------------------


def log(world: World, name: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:
    """Return a service's log line by line; of a group that of all ranks by time, each line after its rank.

    Raises:
        InputError: as for ``running.logs`` and ``logs_of``, or a group is to be followed.
        EngineError: the engine does not answer, or no host of the group is reached.
    """
    found = _group_logs(world, (name,), follow=follow, tail=tail)
    return found[0].lines if found else running.logs(world, name, tail=tail, follow=follow)


def logs(
    world: World,
    names: Sequence[str] = (),
    *,
    everything: bool = False,
    rank: int | None = None,
    tail: int | None = None,
    follow: bool = False,
) -> list[ServiceLog]:
    """Return the logs of services, those of stacks among them; ``rank`` is that of a group alone.

    Raises:
        InputError: several are to be followed, a group is named beside others, or what has no rank has to have one.
        EngineError: as for ``log``.
    """
    found = _group_logs(world, names, rank=rank, follow=follow, tail=tail)
    if found:
        return found
    if rank is not None:
        raise InputError(f"a rank is of a service over several hosts, and {', '.join(names) or 'all'} is none")
    chosen = running.chosen(world, names, everything=everything, known=running.has_log)
    if follow and len(chosen) > 1:
        raise InputError(f"--follow is for one service: {', '.join(chosen)}")
    return [ServiceLog(name, _lines(world, name, tail=tail, follow=follow)) for name in chosen]


def _lines(world: World, name: str, *, tail: int | None, follow: bool) -> Iterator[str]:
    yield from running.logs(world, name, tail=tail, follow=follow)


def _group_logs(
    world: World, names: Sequence[str], *, tail: int | None, follow: bool, rank: int | None = None
) -> list[ServiceLog]:
    """Return the log of the one group that is named; nothing where none is."""
    groups, others = by_name.parted(world, names)
    if groups and (follow or len(groups) + len(others) > 1):
        message = f"the log of {next(iter(groups))} is that of several hosts: it is shown alone, and as it is now"
        raise InputError(message, hint="name it alone, without --follow")
    for group in groups.values():
        world.about(group.hosts)
    return [
        ServiceLog(name, iter(group_logs.logs_of(world, group, rank=rank, tail=tail))) for name, group in groups.items()
    ]


def status(world: World, name: str) -> ServiceStatus:
    """Return what a service does; of a group what its head says, once it is said that all ranks run.

    Raises:
        InputError: as for ``services.status``.
        NotReadyError: it is half a group.
        EngineError: as for ``services.status``, or its head is not reached.
    """
    with where_it_answers(world, name) as there:
        return services.status(there, name)


def statuses(world: World, names: Sequence[str] = (), *, everything: bool = False) -> dict[str, ServiceStatus]:
    """Return what services do by name, those of stacks among them; ``everything`` is all of this engine.

    Raises:
        InputError: a group is named beside others; the rest as for ``status``.
        NotReadyError, EngineError: as for ``status``.
    """
    with _answering(world, names) as there:
        chosen = running.chosen(there, names, everything=everything, known=services.is_known)
        return {name: services.status(there, name) for name in chosen}


def watch(
    world: World, names: Sequence[str], every_s: float, *, everything: bool = False
) -> Iterator[tuple[str, ServiceStatus]]:
    """Yield what the one service that is meant does at each look, without end, beside its name.

    Raises:
        InputError: several are meant; the rest as for ``status``.
        NotReadyError, EngineError: as for ``status``.
    """
    with _answering(world, names) as there:
        chosen = running.chosen(there, names, everything=everything, known=services.is_known)
        if len(chosen) > 1:
            raise InputError(f"--watch is for one service: {', '.join(chosen)}")
        for found in services.watch(there, chosen[0], every_s):
            yield chosen[0], found


@contextmanager
def _answering(world: World, names: Sequence[str]) -> Iterator[World]:
    groups, others = by_name.parted(world, names)
    if not groups:
        yield world
        return
    if len(groups) + len(others) > 1:
        raise InputError(f"the status of a service over several hosts is shown alone: {next(iter(groups))}")
    (group,) = groups.values()
    with at_head(world, group) as there:
        yield there
