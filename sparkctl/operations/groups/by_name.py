"""Groups by their names, as commands have them: their hosts are connected for the time of the command."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.base.errors import EngineError, InputError
from sparkctl.operations import deployed
from sparkctl.operations.groups import kept as keeping
from sparkctl.operations.groups import seen
from sparkctl.operations.groups.hosts import connected, declared_of
from sparkctl.operations.groups.kept import KeptGroup
from sparkctl.operations.groups.proof.wait import ended
from sparkctl.operations.groups.ranks import named, port_of, rendered_of
from sparkctl.operations.groups.restart import start_again
from sparkctl.operations.groups.start import start_group
from sparkctl.operations.hosts.answers import asked as asked_all
from sparkctl.operations.hosts.connections import reached_at_once
from sparkctl.operations.hosts.listed import hosts as listed
from sparkctl.operations.start.aside import STOP_GRACE_S
from sparkctl.planning.groups.members import GroupKind, judge, todo
from sparkctl.world import labels

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sparkctl.operations.context import World
    from sparkctl.operations.hosts.connection import ConnectedHost
    from sparkctl.operations.memory.asked_set import AskedSet
    from sparkctl.planning.groups.members import GroupNow
    from sparkctl.recipes.service import Service


def up(world: World, hosts: Sequence[str], asked: AskedSet, *, download: bool = False) -> list[Service]:
    """Start one service over hosts of hosts.yaml, by rank, the head first; return its ranks' services.

    Raises:
        InputError, DoesNotFitError, EngineError, NotReadyError, ModError, CheckError, WaitInterruptedError: as for
            ``start_group``.
    """
    if world.on:
        raise InputError(f"a group is started from this machine, and not from {world.on}", hint="leave out --host")
    with connected(world, hosts) as found:
        return start_group(world, found, asked, download=download)


def hosts_of(world: World, name: str) -> tuple[str, ...]:
    """Return the hosts of a group that this operator has started, () if there is none of this name."""
    group = keeping.kept(world).get(name) if _has_hosts(world) else None
    return () if group is None else group.hosts


def rendered(world: World, hosts: Sequence[str], asked: AskedSet) -> list[Service]:
    """Return the services of a group by rank, as `up` would start them; nothing is started.

    Raises:
        InputError: a file or a name that cannot be used, or another number of hosts.
        EngineError: a host is not reached.
    """
    with connected(world, hosts) as found:
        named(found, asked)
        services = rendered_of(found, asked, port_of(found, asked.named or asked.names[0]))
        for service in services:
            service.command()
        return services


# --- which names are groups ------------------------------------------------------------------------------------------


class Parted(NamedTuple):
    """The meaning of names: groups by their names, and the names that are not groups."""

    groups: dict[str, KeptGroup]
    others: tuple[str, ...]


def parted(world: World, names: Sequence[str]) -> Parted:
    """Return which names are groups: by what this operator has started, else by what runs on the hosts.

    A file, and a stack with groups, mean the services that they declare. The hosts are asked only for a name that
    nothing here has; without hosts.yaml, or with one that cannot be used, nobody is.
    """
    if not _has_hosts(world):
        return Parted({}, tuple(names))
    kept = keeping.kept(world)
    names = list(dict.fromkeys(one for name in names for one in _meant(world, kept, name)))
    found = {name: kept[name] for name in names if name in kept}
    found |= {name: group for name in names if name not in found and (group := _here(world, name)) is not None}
    left = [name for name in names if name not in found and not _is_here(world, name)]
    if left:
        found |= _on_hosts(world, left)
    return Parted(found, tuple(name for name in names if name not in found))


def group_of(world: World, name: str) -> KeptGroup | None:
    """Return the group that a name means; None where it is none's.

    Raises:
        InputError: it is a stack of several services, and one of them is a group.
    """
    found = parted(world, (name,))
    if len(found.groups) + len(found.others) > 1:
        every = [*found.groups, *found.others]
        raise InputError(f"{name} is a stack of {len(every)} services", hint=f"name one of them: {' '.join(every)}")
    return next(iter(found.groups.values()), None)


def _meant(world: World, kept: Collection[str], name: str) -> list[str]:
    """Return the services that a name means, where one of them is a group that is known here; else the name itself."""
    with suppress(InputError, EngineError):
        found = [] if name in kept else world.service_names([name], deployed.names(world.engine))
        if any(one in kept or _group_of(world, one) is not None for one in found):
            return found
    return [name]


def _has_hosts(world: World) -> bool:
    """Return whether there are hosts; a file that cannot be used is warned of: services of this machine need none.

    On another host (--host) there are none: an action there concerns that host's own containers.
    """
    if world.on:
        return False
    try:
        return bool(listed(world).hosts)
    except InputError as error:
        world.report.warn(f"it is not known which services run on several hosts: {error.message}")
        return False


def _here(world: World, name: str) -> KeptGroup | None:
    """Return the group that has a rank on this machine."""
    with suppress(EngineError):
        return _group_of(world, name)
    return None


def _is_here(world: World, name: str) -> bool:
    with suppress(EngineError):
        return deployed.find(world.engine, name) is not None
    return False


def _group_of(world: World, name: str) -> KeptGroup | None:
    container = deployed.find(world.engine, name)
    group = None if container is None else labels.read(container.labels).group
    return None if group is None else KeptGroup(name, group.hosts)


def _on_hosts(world: World, names: Sequence[str]) -> dict[str, KeptGroup]:
    def look(there: World, _: ConnectedHost | None) -> list[KeptGroup]:
        return [group for name in names if (group := _group_of(there, name)) is not None]

    answers = asked_all(world, listed(world).hosts, look)
    return {group.name: group for answer in answers for group in answer.answer or ()}


def look(world: World, group: KeptGroup) -> GroupNow:
    """Return how a group is, by a look at all its hosts; one that is not reached is said in that.

    Raises:
        InputError: one of its hosts is not declared any more.
    """
    found, errors = reached_at_once(world, declared_of(world, group.hosts))
    try:
        return judge(group.hosts, [*seen.look(list(found.values()), group.name), *map(seen.away, errors)])
    finally:
        for host in found.values():
            host.close()


# --- ended, started again --------------------------------------------------------------------------------------------


def down(world: World, group: KeptGroup) -> None:
    """Stop and remove all ranks of a group.

    Raises:
        InputError: one of its hosts is not declared any more.
        EngineError: a host is not reached, or refuses: its rank may still run, and all others are ended.
    """
    found, errors = reached_at_once(world, declared_of(world, group.hosts))
    try:
        whole = ended(world, list(found.values()), group.name, grace_s=STOP_GRACE_S, all_reached=not errors)
    finally:
        for host in found.values():
            host.close()
    if errors or not whole:
        first = next(iter(errors.values()), None)
        why = f": {first.message}" if first is not None else ""
        hint = f"sparkctl down {group.name} again, once it answers"
        raise EngineError(f"{group.name}: not known whether a rank of it still runs{why}", hint=hint)


def restart(world: World, group: KeptGroup) -> list[Service]:
    """Stop all ranks of a group, start their containers again, the workers first, and prove the group as `up` does.

    Raises:
        InputError: nothing of it is deployed, or it is a half of a group.
        EngineError, NotReadyError, ModError, CheckError, WaitInterruptedError: as for ``start_group``; the containers
            of one that does not become ready are ended.
    """
    with connected(world, group.hosts) as found:
        now = judge(group.hosts, seen.look(found, group.name))
        if now.kind is not GroupKind.WHOLE:
            hint = todo(group.name, now, group.hosts) or f"sparkctl up {group.name} --hosts {','.join(group.hosts)}"
            raise InputError(f"{group.name} is no whole group: {now.words}", hint=hint)
        return start_again(world, found, group.name, grace_s=STOP_GRACE_S)
